"""The vault: a key a person, wrapped by a key of the vault's own, in a database apart from topics and read models.

Destroying a person's key erases them. The row stays, empty: who was erased is never given a key again.
"""

import os
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from hmac import new as hmac

import asyncpg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from infra.errors import Erased, Unusable
from infra.model.needs import VaultNeeds
from infra.read import postgres
from infra.settings import Settings, address, as_role
from infra.wire.sealing import KEY_BYTES, NONCE_BYTES, subject_of, unseal

ROLE = "weft_vault"
SCHEMA = "vault"
WHAT = "the vault"
CACHED_S = 30.0  # how long another process may still read what was erased
TABLE = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.keys (
    subject      text PRIMARY KEY,
    wrapped      bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz,
    CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL))
);
GRANT USAGE ON SCHEMA {SCHEMA} TO {ROLE};
GRANT SELECT, INSERT, UPDATE ON {SCHEMA}.keys TO {ROLE};
"""


class Vault:
    """Keys of persons; every method raises Unknown when the vault's database does not answer."""

    def __init__(self, pool: asyncpg.Pool, master: bytes) -> None:
        self._pool = pool
        self._wrapping = AESGCM(hmac(master, b"weft vault wrap", "sha256").digest())
        self.digest_secret = hmac(master, b"weft vault digest", "sha256").digest()
        self._cache: dict[str, tuple[float, bytes]] = {}

    async def keys(self, subjects: Iterable[str]) -> dict[str, bytes]:
        """The key of each, made where there is none yet; Erased names who was erased."""
        wanted = sorted(set(subjects))
        fresh = [self._wrap(subject, os.urandom(KEY_BYTES)) for subject in wanted]
        with postgres.unknown_if_away(WHAT):
            async with self._pool.acquire() as db:
                await db.execute(
                    f"INSERT INTO {SCHEMA}.keys (subject, wrapped) SELECT * FROM unnest($1::text[], $2::bytea[]) ON CONFLICT DO NOTHING",
                    wanted,
                    fresh,
                )
                rows = await db.fetch(
                    f"SELECT subject, wrapped FROM {SCHEMA}.keys WHERE subject = ANY($1::text[])", wanted
                )
        erased = [row["subject"] for row in rows if row["wrapped"] is None]
        if erased:
            raise Erased(*erased[:5])
        return {row["subject"]: self._unwrap(row["subject"], row["wrapped"]) for row in rows}

    async def unseal(self, sealed: str) -> str:
        """The text; Erased if the person was; ValueError if it is not a sealed text of theirs."""
        subject = subject_of(sealed)
        entry = self._cache.get(subject)
        if entry is None or entry[0] < time.monotonic():
            entry = self._cache[subject] = (time.monotonic() + CACHED_S, await self._key(subject))
        return unseal(entry[1], sealed)

    async def _key(self, subject: str) -> bytes:
        with postgres.unknown_if_away(WHAT):
            wrapped = await self._pool.fetchval(f"SELECT wrapped FROM {SCHEMA}.keys WHERE subject = $1", subject)
        if wrapped is None:
            self._cache.pop(subject, None)
            raise Erased(subject)
        return self._unwrap(subject, wrapped)

    async def destroy(self, subject: str) -> None:
        """Nobody can read what was sealed for this person any more, ever."""
        self._cache.pop(subject, None)
        with postgres.unknown_if_away(WHAT):
            await self._pool.execute(
                f"INSERT INTO {SCHEMA}.keys (subject, wrapped, destroyed_at) VALUES ($1, NULL, now()) "
                "ON CONFLICT (subject) DO UPDATE SET wrapped = NULL, destroyed_at = coalesce(keys.destroyed_at, now())",
                subject,
            )

    def _wrap(self, subject: str, key: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, key, subject.encode())

    def _unwrap(self, subject: str, wrapped: bytes) -> bytes:
        try:
            return self._wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], subject.encode())
        except InvalidTag as error:
            raise Unusable(
                f"the key of {subject} was wrapped by another vault key: is WEFT_VAULT_KEY the one this vault was made with?"
            ) from error


@asynccontextmanager
async def opened(needs: VaultNeeds) -> AsyncIterator[Vault]:
    """The vault; connects when it is first asked."""
    master = _master_key(needs.vault_key)
    pool = asyncpg.create_pool(
        as_role(needs.vault, ROLE),
        min_size=0,
        max_size=4,
        timeout=10,
        command_timeout=postgres.TIMEOUT,
    )
    with postgres.unknown_if_away(WHAT):
        await pool
    try:
        yield Vault(pool, master)
    finally:
        await pool.close()


async def prepare(settings: Settings) -> None:
    """Create the vault's table and role, as the owner of its database."""
    await postgres.prepare_schema(settings.given("vault") or address(settings, "postgres"), ROLE, TABLE)


def _master_key(secret: SecretStr) -> bytes:
    """The key that wraps all others."""
    try:
        key = urlsafe_b64decode(secret.get_secret_value())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise Unusable(f"WEFT_VAULT_KEY has to be {KEY_BYTES} bytes in base64url; `weft key vault` makes one")
    return key
