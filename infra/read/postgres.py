"""Postgres: connections, logins, and what becomes of it when it is away."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from infra.errors import Unknown, Unusable
from infra.settings import as_role, role_password, service_login

ANALYST = "weft_analyst"
HIDDEN = "***"
OPEN = ("host", "port", "dbname", "user")  # what of a URL's query is no secret
TIMEOUT = 30.0
LONG = 86_400.0  # for what takes as long as a table is large; None would be TIMEOUT
# whatever asyncpg raises when a server goes away; it is InternalClientError when that happens in between two messages
TROUBLE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
Connection = asyncpg.Connection
Refusal = asyncpg.PostgresError  # the server answered, and said no
BROKEN = (asyncpg.InterfaceError, asyncpg.InternalClientError)  # the connection was lost in the middle of something
IRREPLACEABLE = (asyncpg.InvalidTableDefinitionError, asyncpg.InvalidFunctionDefinitionError)  # by CREATE OR REPLACE
NO_SUCH_COLUMN = asyncpg.UndefinedColumnError


@asynccontextmanager
async def connection(url: str, *, timeout: float = 10.0) -> AsyncIterator[asyncpg.Connection]:
    """One connection; an address where nobody answers is a clear error."""
    try:
        db = await asyncpg.connect(url, timeout=timeout, command_timeout=TIMEOUT)
    except (OSError, TimeoutError) as error:
        raise Unusable(
            f"Postgres does not answer at {shown(url)}: {error or 'timed out'}. Is it running, and is WEFT_POSTGRES right?"
        ) from error
    except (ValueError, asyncpg.InterfaceError):  # they quote what they could not read
        raise Unusable(
            f"{shown(url)} is no address of Postgres, which is postgresql://USER:PASSWORD@HOST:PORT/DATABASE. Is WEFT_POSTGRES right?"
        ) from None
    except asyncpg.PostgresError as error:
        raise Unusable(f"Postgres at {shown(url)} refuses: {error}. Was `weft setup` run?") from error
    try:
        yield db
    finally:
        await db.close(timeout=5)


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


async def services(url: str, plays: Mapping[str, Collection[str]]) -> None:
    """Make sure of the logins of services, by what each runs, and let each play its roles; as the owner of the database."""
    async with connection(url) as db, db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock(hashtext('weft setup'))")
        for unit, roles in plays.items():
            login = service_login(unit)
            await role(db, url, login)
            for played in roles:
                await db.execute(f"GRANT {played} TO {login}")


@contextmanager
def unknown_if_away(what: str) -> Iterator[None]:
    """Whatever a database raises that is away becomes Unknown."""
    try:
        yield
    except TROUBLE as error:
        raise Unknown(f"{what} did not answer: {type(error).__name__}") from error


async def execute(db: asyncpg.Connection, sql: str, file: str, first_line: int = 1) -> None:
    """Run what stands in a file; Unusable says in which line Postgres does not understand it."""
    try:
        await db.execute(sql)
    except IRREPLACEABLE:
        raise
    except asyncpg.SyntaxOrAccessError as error:
        raise misread(error, sql, file, first_line) from error


def misread(error: asyncpg.PostgresError, sql: str, file: str, first_line: int = 1) -> Unusable:
    """The error with its place in the file whose lines from `first_line` on were run."""
    line = first_line + sql.count("\n", 0, int(error.position or 1) - 1)
    return Unusable(f"{file}, line {line}: {said(error)}")


def said(error: asyncpg.PostgresError) -> str:
    """What Postgres says, with its hint, in one line."""
    return "; ".join(str(error).splitlines())


def analyst(url: str) -> str:
    """The URL of the analysts' login."""
    return as_role(url, ANALYST)


def shown(url: str) -> str:
    """The address without what a log may not hold; nothing of one that cannot be read, since nobody knows where its password is."""
    if "://" not in url:
        return HIDDEN if set("@=") & set(url) else url
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    if "@" in parts.path:
        return HIDDEN
    login, at, place = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    shown_netloc = f"{user}{colon and ':***'}{at}{place}"
    query = urlencode([(name, value if name in OPEN else "***") for name, value in parse_qsl(parts.query)], safe="/*")
    return urlunsplit(parts._replace(netloc=shown_netloc, query=query))
