"""The tables a rebuild fills beside the live ones, and how the two change places.

<projection>        the live tables
<projection>_next   the shadow: without indexes while it is filled, then like the live ones
<projection>_old    the tables that were live before, until they are dropped or called back
"""

from collections.abc import Sequence

import asyncpg

from infra.errors import Unusable
from infra.mesh import Mesh
from infra.model.projection import Projection
from infra.read import analytics, tables
from infra.read.postgres import LONG

# Constraints first come last: a primary key makes its own index. Checks and NOT NULL stay, they cost little.
FURNITURE = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS strip,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) AS furnish
FROM pg_constraint WHERE conrelid = $1::regclass AND contype IN ('p', 'u', 'x')
UNION ALL
SELECT format('DROP INDEX %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid)
FROM pg_index i WHERE i.indrelid = $1::regclass AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)
"""
LOCK_WAIT = "2s"  # readers queue behind whoever waits for a view; better to let go and try again


def shadow(projection: Projection) -> str:
    return f"{projection.name}_next"


def former(projection: Projection) -> str:
    return f"{projection.name}_old"


async def begin(db: asyncpg.Connection, projection: Projection) -> bool:
    """Make sure of a shadow that this code made; whether one was there to go on with."""
    schema = shadow(projection)
    if await tables.definition(db, schema) == projection.definition:
        return True
    async with db.transaction():
        await tables.create(db, projection, schema)
        await strip(db, projection, schema)
        # a crash empties what is unlogged: then nothing may say that the rows were there
        await db.execute(f"ALTER TABLE {schema}.cursor SET UNLOGGED")
    return False


async def strip(db: asyncpg.Connection, projection: Projection, schema: str) -> None:
    """Take away what slows COPY down, and write down how to put it back. Inside a transaction."""
    table = f"{schema}.{projection.name}"
    furniture = await db.fetch(FURNITURE, table)
    for piece in furniture:
        await db.execute(piece["strip"])
    await db.execute(f"ALTER TABLE {table} SET UNLOGGED")
    await db.execute(f"CREATE TABLE {_furniture(projection, schema)} (number int, ddl text NOT NULL)")
    await db.executemany(
        f"INSERT INTO {_furniture(projection, schema)} VALUES ($1, $2)",
        [(i, piece["furnish"]) for i, piece in enumerate(furniture)],
    )


async def is_stripped(db: asyncpg.Connection, projection: Projection, schema: str) -> bool:
    """Whether the tables are still being filled."""
    return await db.fetchval("SELECT to_regclass($1)", _furniture(projection, schema)) is not None


def _furniture(projection: Projection, schema: str) -> str:
    return f"{schema}.{projection.name}_furniture"


async def furnish(db: asyncpg.Connection, projection: Projection, schema: str) -> None:
    """Put indexes and constraints back, and make the rows safe; UniqueViolationError if two parts made the same row."""
    async with db.transaction():
        for piece in await db.fetch(f"SELECT ddl FROM {_furniture(projection, schema)} ORDER BY number"):
            await db.execute(piece["ddl"], timeout=LONG)
        await db.execute(f"ALTER TABLE {schema}.{projection.name} SET LOGGED", timeout=LONG)
        await db.execute(f"ALTER TABLE IF EXISTS {schema}.cursor SET LOGGED")
        await db.execute(f"DROP TABLE {_furniture(projection, schema)}")
    await db.execute(f"ANALYZE {schema}.{projection.name}", timeout=LONG)


async def take_over(db: asyncpg.Connection, projection: Projection) -> int:
    """Let the live projector's next commit fail, and wait for the one under way; returns the version. In a transaction."""
    version: int = await db.fetchval(f"UPDATE {projection.schema}.head SET version = version + 1 RETURNING version")
    return version


async def swap(db: asyncpg.Connection, mesh: Mesh, projection: Projection, version: int) -> None:
    """Shadow becomes live and live becomes former; in the transaction of `take_over`, which gave `version`."""
    live, next_, old = projection.schema, shadow(projection), former(projection)
    replaced = f"SELECT array_remove(l.older || l.definition, n.definition) FROM {live}.head l, {next_}.head n"
    await db.execute(f"UPDATE {next_}.head SET version = $1, older = ({replaced})", version)
    await db.execute(f"DROP SCHEMA IF EXISTS {old} CASCADE")
    await db.execute(f"ALTER SCHEMA {live} RENAME TO {old}")
    await db.execute(f"ALTER SCHEMA {next_} RENAME TO {live}")
    await _show(db, mesh, projection)


async def roll_back(db: asyncpg.Connection, mesh: Mesh, projection: Projection) -> None:
    """The former tables are live again, and the ones that were live can be called back the same way. In a transaction."""
    live, next_, old = projection.schema, shadow(projection), former(projection)
    if not await db.fetchval("SELECT to_regclass($1)", f"{old}.head"):
        raise Unusable(
            f"there are no former tables of {projection.name} to go back to: none were kept, or they were dropped"
        )
    version = await take_over(db, projection)
    await db.execute(f"UPDATE {old}.head SET version = $1", version)
    await db.execute(f"DROP SCHEMA IF EXISTS {next_} CASCADE")
    await db.execute(f"ALTER SCHEMA {old} RENAME TO {next_}")
    await db.execute(f"ALTER SCHEMA {live} RENAME TO {old}")
    await db.execute(f"ALTER SCHEMA {next_} RENAME TO {live}")
    await _show(db, mesh, projection)


async def _show(db: asyncpg.Connection, mesh: Mesh, projection: Projection) -> None:
    views: str = await db.fetchval(f"SELECT views FROM {projection.schema}.head")
    await analytics.replace(db, mesh, views, projection.schema)
    await analytics.complete(db, mesh)


async def drop_former(db: asyncpg.Connection, projections: Sequence[Projection]) -> list[str]:
    """Drop the former tables; returns the projections that had some."""
    had = [p for p in projections if await db.fetchval("SELECT to_regnamespace($1)", former(p)) is not None]
    for projection in had:
        await db.execute(f"DROP SCHEMA {former(projection)} CASCADE")
    return [p.name for p in had]
