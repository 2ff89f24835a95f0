"""Register, log in, refresh, verify, log out.

A refresh token is good for one use: who uses one twice has it from somebody else, and then the whole session ends
(RFC 9700, 4.14.2).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

import asyncpg
import structlog

from infra.edge import client, vault
from infra.edge.client import Wish
from infra.edge.identity.passwords import Passwords
from infra.edge.identity.tokens import LIFE_S, Claims, Signer, fingerprint, new_refresh_token, seeds
from infra.errors import BadCredentials, BadToken, Refusal
from infra.model.needs import IdentityNeeds
from infra.read import postgres
from infra.settings import Settings, address, as_role
from infra.wire.avro import Codec
from infra.wire.sealing import digest

_log = structlog.get_logger()
ROLE = "weft_identity"
SCHEMA = "identity"
WHAT = "the identity's database"
SESSION_LIFE = timedelta(days=30)
TABLES = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.credentials (
    user_id    text PRIMARY KEY,
    email_key  text NOT NULL UNIQUE,
    hash       text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS {SCHEMA}.sessions (
    session    text PRIMARY KEY,
    user_id    text NOT NULL REFERENCES {SCHEMA}.credentials ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz
);
CREATE INDEX IF NOT EXISTS sessions_user ON {SCHEMA}.sessions (user_id);
CREATE TABLE IF NOT EXISTS {SCHEMA}.refresh_tokens (
    fingerprint bytea PRIMARY KEY,
    session     text NOT NULL REFERENCES {SCHEMA}.sessions ON DELETE CASCADE,
    used_at     timestamptz
);
CREATE INDEX IF NOT EXISTS refresh_tokens_session ON {SCHEMA}.refresh_tokens (session);
GRANT USAGE ON SCHEMA {SCHEMA} TO {ROLE};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} TO {ROLE};
"""


@dataclass(frozen=True)
class Session:
    """What a client keeps: an access token for `expires_in` seconds, and a refresh token for one use."""

    access_token: str
    refresh_token: str
    expires_in: int = LIFE_S


class Identity:
    """The service; every method raises Unknown when its database does not answer."""

    def __init__(self, pool: asyncpg.Pool, keys: vault.Vault, signer: Signer) -> None:
        self._pool = pool
        self._keys = keys
        self._signer = signer
        self._passwords = Passwords()

    async def register(self, codec: Codec, registration: Wish, password: str) -> Wish:
        """Keep the password of whoever asks to be registered (`email` in the payload), and return the sealed command.

        Refusal says what is wrong. Asking again for the same user with the same password returns the same command: a
        lost answer does no harm.
        """
        user_id, email = registration.key or str(uuid4()), str(registration.payload["email"])
        email_key, stored_hash = digest(self._keys.digest_secret, email), await self._passwords.hashed(password)
        with postgres.unknown_if_away(WHAT):
            added = await self._pool.execute(
                f"INSERT INTO {SCHEMA}.credentials (user_id, email_key, hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                user_id,
                email_key,
                stored_hash,
            )
            credentials = await self._pool.fetchrow(
                f"SELECT email_key, hash FROM {SCHEMA}.credentials WHERE user_id = $1", user_id
            )
        if credentials is None:
            raise Refusal("email_taken", "this e-mail address is registered")
        if added == "INSERT 0 0" and (
            credentials["email_key"] != email_key or not await self._passwords.matches(credentials["hash"], password)
        ):
            raise Refusal("already_registered", "this user is registered")
        wish = replace(registration, key=user_id, id=f"register-{user_id}")
        (sealed,) = await client.seal_with(self._keys, codec, [wish])
        return sealed

    async def login(self, email: str, password: str) -> Session:
        """A new session; BadCredentials, after the same time whoever it is."""
        with postgres.unknown_if_away(WHAT):
            row = await self._pool.fetchrow(
                f"SELECT user_id, hash FROM {SCHEMA}.credentials WHERE email_key = $1",
                digest(self._keys.digest_secret, email),
            )
        if not await self._passwords.matches(row and row["hash"], password) or row is None:
            raise BadCredentials
        if self._passwords.outdated(row["hash"]):
            await self._rehash(row["user_id"], row["hash"], password)
        session, token = str(uuid4()), new_refresh_token()
        with postgres.unknown_if_away(WHAT):
            async with self._pool.acquire() as db, db.transaction():
                await db.execute(
                    f"INSERT INTO {SCHEMA}.sessions (session, user_id, expires_at) VALUES ($1, $2, now() + $3)",
                    session,
                    row["user_id"],
                    SESSION_LIFE,
                )
                await _keep(db, token, session)
        return Session(self._signer.issue(Claims(row["user_id"], session)), token)

    async def refresh(self, refresh_token: str) -> Session:
        """A new pair for a refresh token that was not used; BadToken otherwise, and a reused one ends its session."""
        token_print, fresh = fingerprint(refresh_token), new_refresh_token()
        with postgres.unknown_if_away(WHAT):
            async with self._pool.acquire() as db, db.transaction():
                row = await db.fetchrow(
                    f"UPDATE {SCHEMA}.refresh_tokens t SET used_at = now() FROM {SCHEMA}.sessions s "
                    "WHERE t.fingerprint = $1 AND t.used_at IS NULL AND s.session = t.session AND s.ended_at IS NULL AND s.expires_at > now() "
                    "RETURNING s.session, s.user_id",
                    token_print,
                )
                if row is not None:
                    await _keep(db, fresh, row["session"])
                else:
                    reused = await db.fetchval(
                        f"UPDATE {SCHEMA}.sessions s SET ended_at = now() FROM {SCHEMA}.refresh_tokens t "
                        "WHERE t.fingerprint = $1 AND t.used_at IS NOT NULL AND s.session = t.session AND s.ended_at IS NULL RETURNING s.session",
                        token_print,
                    )
        if row is None:
            if reused:
                _log.warning("refresh token reused, session ended", session=reused)
            raise BadToken("the refresh token was used before" if reused else "no such refresh token")
        return Session(self._signer.issue(Claims(row["user_id"], row["session"])), fresh)

    def verify(self, access_token: str) -> Claims:
        """Whom an access token stands for; BadToken otherwise. Asks nobody, so an ended session lasts up to ten minutes more."""
        return self._signer.verify(access_token)

    def jwks(self) -> dict[str, object]:
        return self._signer.jwks()

    async def logout(self, session: str) -> None:
        """End a session: its refresh tokens are worth nothing."""
        with postgres.unknown_if_away(WHAT):
            await self._pool.execute(
                f"UPDATE {SCHEMA}.sessions SET ended_at = now() WHERE session = $1 AND ended_at IS NULL", session
            )

    async def forget(self, user_id: str) -> None:
        """Remove a user's password and sessions."""
        with postgres.unknown_if_away(WHAT):
            await self._pool.execute(f"DELETE FROM {SCHEMA}.credentials WHERE user_id = $1", user_id)

    async def _rehash(self, user_id: str, old: str, password: str) -> None:
        with postgres.unknown_if_away(WHAT):
            await self._pool.execute(
                f"UPDATE {SCHEMA}.credentials SET hash = $3, changed_at = now() WHERE user_id = $1 AND hash = $2",
                user_id,
                old,
                await self._passwords.hashed(password),
            )


async def _keep(db: asyncpg.Connection, token: str, session: str) -> None:
    await db.execute(
        f"INSERT INTO {SCHEMA}.refresh_tokens (fingerprint, session) VALUES ($1, $2)", fingerprint(token), session
    )


@asynccontextmanager
async def opened(needs: IdentityNeeds) -> AsyncIterator[Identity]:
    """The identity service, on its database and the vault's."""
    signer = Signer(seeds(needs.token_keys.get_secret_value()))
    async with (
        vault.opened(needs) as keys,
        asyncpg.create_pool(
            as_role(needs.identity, ROLE),
            min_size=0,
            max_size=8,
            timeout=10,
            command_timeout=postgres.TIMEOUT,
        ) as pool,
    ):
        yield Identity(pool, keys, signer)


async def prepare(settings: Settings) -> None:
    """Create the tables and their role, as the owner of the database."""
    await postgres.prepare_schema(settings.given("identity") or address(settings, "postgres"), ROLE, TABLES)
