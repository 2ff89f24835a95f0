"""The read model as it stood: every event recorded by a moment, folded into a schema of its own.

An event is recorded at the latest of three times: when its command was posted, when its cause was recorded, and when the event
in front of it in its partition was. So "as of T" cuts every topic where no effect is without its cause. What was posted by T
and is still to be decided is not in it yet; `still_open` says whose commands that may be.

A schema SCHEMA has the views of `analytics`, and SCHEMA_rows the tables behind them.
"""

import asyncio
import re
from collections.abc import Iterable
from datetime import UTC, datetime

import asyncpg
from confluent_kafka import Consumer, TopicPartition

from infra.errors import Unusable
from infra.kafka import reading, topics
from infra.kafka.reading import Place
from infra.mesh import Mesh
from infra.model.context import Context
from infra.model.projection import ANALYTICS, Projection, in_schema
from infra.read import analytics, postgres, tables
from infra.read.rebuild import Stage, bulk, shadow
from infra.settings import Settings, address

NAME = re.compile(r"[a-z_][a-z0-9_]{0,50}")
KEPT = 8  # schemas of `weft sql --as-of`, the ones last used
SQLS = re.compile(r"asof_[0-9t]+")
MADE = "CREATE TABLE made (projection text PRIMARY KEY, definition text NOT NULL, at timestamptz NOT NULL, used_at timestamptz NOT NULL DEFAULT now())"


def moment(text: str) -> datetime:
    """A moment in ISO 8601, in UTC unless it says otherwise; Unusable if it is none, or not over yet."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Unusable(
            f"{text!r} is no moment: write it as 2026-11-01T12:00Z or 2026-11-01 12:00:00.250+01:00"
        ) from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at > datetime.now(UTC):
        raise Unusable(f"{at.isoformat()} is not over yet; what is now is what a query without --as-of says")
    return at


def schema_of(at: datetime) -> str:
    """The schema in which `weft sql` keeps a moment."""
    return f"asof_{at.astimezone(UTC):%Y%m%dt%H%M%S%f}"


def tables_of(schema: str) -> str:
    return f"{schema}_rows"


async def build(settings: Settings, mesh: Mesh, names: Iterable[str], at: datetime, into: str, stage: Stage) -> int:
    """Make the read models of these names as of a moment, in the schema `into`; what is there already stays. Returns the rows made.

    Every view is there, so that any query can be read; those of other names show nothing.
    """
    if not NAME.fullmatch(into) or into in mesh.projections or into == ANALYTICS:
        raise Unusable(
            f"{into!r} cannot be the name of a schema: lower case letters, digits and _, and nothing of ours"
        )
    async with postgres.connection(address(settings, "postgres")) as db:
        if not await db.fetchval("SELECT pg_try_advisory_lock(hashtext($1))", f"weft as of {into}"):
            raise Unusable(f"{into} is being made by somebody else; wait for that")
        present_names = await _begin(db, mesh, at, into)
        wanted = [p for name, p in mesh.projections.items() if name in set(names) - present_names]
        heard = sorted({topic for p in wanted for topic in mesh.topics_of(p)})
        with reading.opened(settings) as client:
            ends = reading.ends(client, reading.partitions_of(client, heard) if heard else [])
        rows = 0
        for projection in wanted:
            own = set(mesh.topics_of(projection))
            part = {place: end for place, end in ends.items() if place[0] in own}
            rows += await _load(settings, mesh, db, projection, at, into, part, stage)
        await db.execute(f"UPDATE {tables_of(into)}.made SET used_at = now()")
    return rows


async def _begin(db: asyncpg.Connection, mesh: Mesh, at: datetime, into: str) -> set[str]:
    """Empty tables and all views, unless they are there of this moment; returns the projections that are made."""
    rows = tables_of(into)
    if await db.fetchval("SELECT to_regnamespace($1)", into) is not None:
        if not await db.fetchval("SELECT to_regclass($1)", f"{rows}.made"):
            raise Unusable(f"there is a schema {into} that no rebuild made: choose another name")
        by_projection = {r["projection"]: r for r in await db.fetch(f"SELECT * FROM {rows}.made")}
        definitions = {name: p.definition for name, p in mesh.projections.items()}
        if all(r["at"] == at and r["definition"] == definitions.get(n) for n, r in by_projection.items()):
            return set(by_projection)
        await drop(db, into)
    async with db.transaction():
        await db.execute(f"CREATE SCHEMA {rows}")
        await db.execute(f"CREATE SCHEMA {into}")
        await db.execute(f"SET LOCAL search_path = {rows}")
        await db.execute(MADE)
        for projection in mesh.projections.values():
            await postgres.execute(db, projection.tables, projection.file)
            await tables.show(db, projection, into)
        await db.execute(in_schema(analytics.spanning(mesh), into))
        await db.execute("SET LOCAL search_path = DEFAULT")
        await analytics.grant(db, into)
    return set()


async def _load(
    settings: Settings,
    mesh: Mesh,
    db: asyncpg.Connection,
    projection: Projection,
    at: datetime,
    into: str,
    ends: dict[Place, int],
    stage: Stage,
) -> int:
    rows, name = tables_of(into), projection.name
    async with db.transaction():
        await db.execute(f"TRUNCATE {rows}.{name}")
        if not await shadow.is_stripped(db, projection, rows):
            await shadow.strip(db, projection, rows)
    parts = bulk.parts(projection, rows, ends, {}, until_ms=int(at.timestamp() * 1000))
    count = await asyncio.to_thread(
        bulk.load_all,
        settings,
        mesh,
        parts,
        stage.processes,
        lambda done, total: stage.progress(name, done, total),
        stage.stopping,
    )
    await shadow.furnish(db, projection, rows)
    await db.execute(f"INSERT INTO {rows}.made VALUES ($1, $2, $3)", name, projection.definition, at)
    return count


async def drop(db: asyncpg.Connection, into: str) -> None:
    async with db.transaction():
        await db.execute(f"DROP SCHEMA {into} CASCADE")
        await db.execute(f"DROP SCHEMA {tables_of(into)} CASCADE")


async def drop_made(settings: Settings, into: str) -> None:
    """Drop a schema that `build` made; Unusable names those there are."""
    async with postgres.connection(address(settings, "postgres")) as db:
        names = await _made(db)
        if into not in names:
            raise Unusable(
                f"{into!r} is no schema of a moment, as --into makes one; there are: {', '.join(names) or 'none'}"
            )
        await drop(db, into)


async def _made(db: asyncpg.Connection) -> list[str]:
    rows = await db.fetch(
        "SELECT nspname FROM pg_namespace WHERE to_regclass(quote_ident(nspname || '_rows') || '.made') IS NOT NULL"
    )
    return sorted(r["nspname"] for r in rows)


async def drop_unused(settings: Settings) -> None:
    """Of the schemas that `weft sql` made, keep the ones that were used last."""
    async with postgres.connection(address(settings, "postgres")) as db:
        names = [name for name in await _made(db) if SQLS.fullmatch(name)]
        used = [(await db.fetchval(f"SELECT max(used_at) FROM {tables_of(name)}.made"), name) for name in names]
        for _, name in sorted(used, key=lambda use: (use[0] is not None, use[0]), reverse=True)[KEPT:]:
            await drop(db, name)


def still_open(settings: Settings, contexts: Iterable[Context], at: datetime) -> list[str]:
    """The contexts that have not decided every command that was posted by then: what they decide may still be of that moment."""
    after = int(at.timestamp() * 1000) + 1
    with reading.opened(settings) as client:
        return [c.name for c in contexts if _is_open(settings, client, c, after)]


def _is_open(settings: Settings, client: Consumer, c: Context, after_ms: int) -> bool:
    places = reading.partitions_of(client, [c.commands_topic, c.own_topic])
    decided = topics.committed(settings, c, places)
    moments = [TopicPartition(topic, p, after_ms) for topic, p in places]
    for tp in reading.asking(lambda: client.offsets_for_times(moments, timeout=reading.TIMEOUT)):
        place = (tp.topic, tp.partition)
        low, high = reading.bounds(client, place)
        if (high if tp.offset < 0 else tp.offset) > max(low, decided[place]):
            return True
    return False
