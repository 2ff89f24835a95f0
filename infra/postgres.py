"""The read models' database: a schema and a login for each projection, views and a read-only login for analysts."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import structlog

from infra.errors import Unknown, Unusable
from infra.projection import Projection
from infra.settings import as_role, role_password

_log = structlog.get_logger()
ANALYST = "weft_analyst"
TIMEOUT = 30.0
# whatever asyncpg raises when a server goes away; it is InternalClientError when that happens in between two messages
TROUBLE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


@asynccontextmanager
async def connection(url: str, *, timeout: float = 10.0) -> AsyncIterator[asyncpg.Connection]:
    """One connection; an address where nobody answers is a clear error."""
    try:
        db = await asyncpg.connect(url, timeout=timeout, command_timeout=TIMEOUT)
    except (OSError, TimeoutError) as error:
        raise Unusable(
            f"Postgres does not answer at {shown(url)}: {error or 'timed out'}. Is it running, and is WEFT_POSTGRES right?"
        ) from error
    except asyncpg.PostgresError as error:
        raise Unusable(f"Postgres at {shown(url)} refuses: {error}. Was `weft setup` run?") from error
    try:
        yield db
    finally:
        await db.close(timeout=5)


async def prepare(url: str, projections: Iterable[Projection]) -> None:
    """Create what is missing, as the owner; a projection whose code or tables changed is dropped, to be replayed."""
    async with connection(url) as db, db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock(hashtext('weft setup'))")  # two set-ups at once take turns
        await db.execute("CREATE SCHEMA IF NOT EXISTS analytics")
        await role(db, url, ANALYST)
        await db.execute(f"ALTER ROLE {ANALYST} SET default_transaction_read_only = on")
        await db.execute(f"ALTER ROLE {ANALYST} SET statement_timeout = '30s'")
        await db.execute(f"ALTER ROLE {ANALYST} SET search_path = analytics")
        await db.execute(f"ALTER ROLE {ANALYST} CONNECTION LIMIT 20")
        for projection in projections:
            await _prepare(db, url, projection)
        await db.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        await db.execute(f"GRANT USAGE ON SCHEMA analytics TO {ANALYST}")
        await db.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO {ANALYST}")


async def _prepare(db: asyncpg.Connection, url: str, projection: Projection) -> None:
    schema, login = projection.schema, projection.role
    await role(db, url, login)
    known = None
    if await db.fetchval("SELECT to_regclass($1)", f"{schema}.head"):
        known = await db.fetchval(f"SELECT definition FROM {schema}.head")
    if known == projection.definition:
        return
    if known is not None:
        _log.info("projection changed, it is replayed", projection=projection.name)
    await db.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    await db.execute(f"CREATE SCHEMA {schema}")
    await db.execute(f"SET LOCAL search_path = {schema}")
    await db.execute(projection.sql)
    await db.execute(
        "CREATE TABLE head (definition text NOT NULL, version bigint NOT NULL);"
        "CREATE TABLE cursor (topic text, partition int, topic_id text NOT NULL, next_offset bigint NOT NULL, PRIMARY KEY (topic, partition));"
        f"GRANT USAGE ON SCHEMA {schema} TO {login};"
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {login};"
    )
    # rows and cursor are one transaction and can be replayed: a commit that a power cut takes back is only done again
    await db.execute(f"ALTER ROLE {login} SET synchronous_commit = off")
    await db.execute("INSERT INTO head VALUES ($1, 0)", projection.definition)
    await db.execute("SET LOCAL search_path = DEFAULT")


async def role(db: asyncpg.Connection, url: str, name: str) -> None:
    """Make sure of a login; its password derives from the owner's."""
    if not await db.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
        await db.execute(f"CREATE ROLE {name} LOGIN")
    if password := role_password(url, name):
        await db.execute(f"ALTER ROLE {name} PASSWORD '{password}'")  # hexadecimal digits only


async def prepare_schema(url: str, name: str, tables: str) -> None:
    """Create a login and the tables it uses, as the owner of the database."""
    async with connection(url) as db, db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock(hashtext('weft setup'))")
        await role(db, url, name)
        await db.execute(tables)


@contextmanager
def unknown_if_away(what: str) -> Iterator[None]:
    """Whatever a database raises that is away becomes Unknown."""
    try:
        yield
    except TROUBLE as error:
        raise Unknown(f"{what} did not answer: {type(error).__name__}") from error


def analyst(url: str) -> str:
    """The URL of the analysts' login."""
    return as_role(url, ANALYST)


def shown(url: str) -> str:
    """The URL without what a log may not hold."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}"))
