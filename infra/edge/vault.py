"""The vault: a key a person, wrapped by a key of the vault's own, in a database apart from topics and read models.

Destroying a person's key erases them. The row stays, empty: who was erased is never given a key again.

The vault knows the key it was made with by a mark of it, an HMAC of a constant; who comes with another one is refused, since
what they wrapped nobody else could unwrap, and one address would have two digests.
"""

import os
import socket
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from hmac import compare_digest
from hmac import new as hmac

import asyncpg
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from infra.embedded.secrets import file_of
from infra.errors import Erased, Unusable
from infra.model.needs import VaultNeeds
from infra.read import postgres
from infra.settings import Settings, address, as_role
from infra.wire.sealing import KEY_BYTES, NONCE_BYTES, subject_of, unseal

_log = structlog.get_logger()
ROLE = "weft_vault"
SCHEMA = "vault"
WHAT = "the vault"
CACHED_S = 30.0  # how long another process may still read what was erased
SHOWN = 8  # characters of a mark that tell people which key is meant
TABLE = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.keys (
    subject      text PRIMARY KEY,
    wrapped      bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz,
    CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL))
);
CREATE TABLE IF NOT EXISTS {SCHEMA}.made_with (
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    mark       text NOT NULL,
    seen_at    timestamptz NOT NULL DEFAULT now(),
    seen_where text NOT NULL
);
GRANT USAGE ON SCHEMA {SCHEMA} TO {ROLE};
GRANT SELECT, INSERT, UPDATE ON {SCHEMA}.keys TO {ROLE};
GRANT SELECT, INSERT, UPDATE (seen_at, seen_where) ON {SCHEMA}.made_with TO {ROLE};
"""


class Vault:
    """Keys of persons; every method raises Unknown when the vault's database does not answer, and Unusable with another key than it was made with."""

    def __init__(self, pool: asyncpg.Pool, master: bytes) -> None:
        self._pool = pool
        self._master = master
        self._wrapping = _wrapping(master)
        self._is_known = False
        self.digest_secret = hmac(master, b"weft vault digest", "sha256").digest()
        self._cache: dict[str, tuple[float, bytes]] = {}

    async def keys(self, subjects: Iterable[str]) -> dict[str, bytes]:
        """The key of each, made where there is none yet; Erased names who was erased."""
        wanted = sorted(set(subjects))
        fresh = [self._wrap(subject, os.urandom(KEY_BYTES)) for subject in wanted]
        with postgres.unknown_if_away(WHAT):
            async with self._pool.acquire() as db:
                await self._recognise(db)
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

    async def _recognise(self, db: asyncpg.Connection) -> None:
        if not self._is_known:
            await recognise(db, self._master, _host())
            self._is_known = True

    def _wrap(self, subject: str, key: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, key, subject.encode())

    def _unwrap(self, subject: str, wrapped: bytes) -> bytes:
        return unwrap(self._wrapping, subject, wrapped)


def unwrap(wrapping: AESGCM, subject: str, wrapped: bytes) -> bytes:
    """A person's key; Unusable if another vault key wrapped it."""
    try:
        return wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], subject.encode())
    except InvalidTag as error:
        raise Unusable(
            f"the key of {subject} was wrapped by another vault key: is WEFT_VAULT_KEY the one this vault was made with?"
        ) from error


async def recognise(db: asyncpg.Connection, master: bytes, place: str) -> None:
    """Hold the key against the mark of the one that the vault was made with; a vault without a mark gets this one's.

    Unusable if it is another one, or if the first thing in a vault without a mark was wrapped by another one. `place` is
    where the key was found, for whoever may look for it one day.
    """
    mark = hmac(master, b"weft vault mark", "sha256").hexdigest()
    try:
        found = await _made_with(db)
        if found is None:
            first = await db.fetchrow(
                f"SELECT subject, wrapped FROM {SCHEMA}.keys WHERE wrapped IS NOT NULL ORDER BY created_at LIMIT 1"
            )
            if first:
                unwrap(_wrapping(master), first["subject"], first["wrapped"])
            await db.execute(
                f"INSERT INTO {SCHEMA}.made_with (mark, seen_where) VALUES ($1, $2) ON CONFLICT DO NOTHING", mark, place
            )
            found = await _made_with(db)
    except asyncpg.UndefinedTableError as error:
        raise Unusable("the vault's tables are of older code, or there are none: run `weft setup`") from error
    if found is None or not compare_digest(found["mark"], mark):
        made_with = _said(found) if found else "the key of somebody who took it back"
        raise Unusable(
            f"this vault {made_with}, and the one that is given is {mark[:SHOWN]}: set WEFT_VAULT_KEY to the one it was made with"
        )


async def _made_with(db: asyncpg.Connection) -> asyncpg.Record | None:
    return await db.fetchrow(f"SELECT mark, seen_at, seen_where FROM {SCHEMA}.made_with")


def _said(found: asyncpg.Record) -> str:
    return f"was made with the key {found['mark'][:SHOWN]} (as its mark begins; last seen {found['seen_at']:%Y-%m-%d %H:%M} UTC {found['seen_where']})"


async def check(needs: VaultNeeds, place: str) -> None:
    """Unusable if the key is not the vault's; where it is the vault's, note that it was seen. A vault that is away is asked when it is needed."""
    master = _master_key(needs.vault_key)
    try:
        async with _connected(as_role(needs.vault, ROLE)) as db:
            await recognise(db, master, place)
            await _note_seen(db, place)
    except postgres.TROUBLE as error:
        _log.warning("the vault does not answer yet", error=type(error).__name__)


async def check_unmade(settings: Settings) -> None:
    """Unusable if there is a vault with a key already, and nobody gives it: a new one would not be it."""
    try:
        async with _connected(settings.given("vault") or address(settings, "postgres")) as db:
            found = await _made_with(db)
    except postgres.TROUBLE:
        return  # there is none yet, or who needs it will hear that it is away
    if found is not None:
        raise Unusable(f"the vault {_said(found)}, and no key is given: set WEFT_VAULT_KEY to that one")


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    db = await asyncpg.connect(url, timeout=10, command_timeout=postgres.TIMEOUT)
    try:
        yield db
    finally:
        await db.close(timeout=5)


async def _note_seen(db: asyncpg.Connection, place: str) -> None:
    await db.execute(f"UPDATE {SCHEMA}.made_with SET seen_at = now(), seen_where = $1", place)


def _host() -> str:
    return f"on {socket.gethostname()}"


def place_of_key(settings: Settings) -> str:
    """Where a process found the vault's key, for people."""
    file = file_of(settings.home, "vault_key")
    try:
        is_there = file.read_text().strip() == settings.given("vault_key")
    except OSError:
        is_there = False
    return f"{_host()} in {file}" if is_there else f"{_host()} in WEFT_VAULT_KEY"


def _wrapping(master: bytes) -> AESGCM:
    return AESGCM(hmac(master, b"weft vault wrap", "sha256").digest())


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
    """Create the vault's tables and role, as the owner of its database; Unusable if a key is given that is not the vault's."""
    url = settings.given("vault") or address(settings, "postgres")
    await postgres.prepare_schema(url, ROLE, TABLE)
    if secret := settings.given("vault_key"):
        async with postgres.connection(url) as db:
            await recognise(db, _master_key(SecretStr(secret)), place_of_key(settings))
            await _note_seen(db, place_of_key(settings))


def _master_key(secret: SecretStr) -> bytes:
    """The key that wraps all others."""
    try:
        key = urlsafe_b64decode(secret.get_secret_value())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise Unusable(f"WEFT_VAULT_KEY has to be {KEY_BYTES} bytes in base64url; `weft key vault` makes one")
    return key
