"""The tables of one projection: its rows, and where in the log they stand. Made, read and moved on as one.

A projection's schema in Postgres has its own tables beside `head` (which code made them, and the tables these replaced; how
often they were moved on, when somebody last looked; which other code would go on with them) and `cursor` (how far each partition was read, where the log ended then, when that was recorded). Rows,
head and cursor change in one transaction, which starts by moving the version from the value its writer knows: if no row
moves, somebody else took over.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Any

import asyncpg

from infra.errors import Fenced, OfOtherCode, Unusable, Unwritable
from infra.kafka.reading import Place
from infra.model.projection import Projection, in_schema
from infra.read.fold import Batch, Fact, Fold, values
from infra.read.postgres import LONG, NO_SUCH_COLUMN, execute

AND_POSITION = """
CREATE TABLE head (
    definition text NOT NULL,
    views      text NOT NULL,
    older      text[] NOT NULL DEFAULT '{}',
    version    bigint NOT NULL DEFAULT 0,
    checked_at timestamptz NOT NULL DEFAULT now(),
    waiting    text,
    waiting_at timestamptz
);
CREATE TABLE cursor (
    topic       text,
    partition   int,
    topic_id    text NOT NULL,
    next_offset bigint NOT NULL,
    log_end     bigint NOT NULL,
    recorded_at timestamptz,
    PRIMARY KEY (topic, partition)
);
"""


UNTAKEN = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
COPIED = 500  # rows that are made ready for Postgres at once
WAITS_S = 20  # a worker that waits for its tables says so more often than that


async def create(db: asyncpg.Connection, projection: Projection, schema: str) -> None:
    """Empty tables in a new schema of that name, for the projection's own login to fill. Inside a transaction.

    Unusable if Postgres does not understand the projection's .sql.
    """
    await db.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    await db.execute(f"CREATE SCHEMA {schema}")
    await db.execute(f"SET LOCAL search_path = {schema}")
    await execute(db, projection.tables, projection.file)
    await _try_views(db, projection, f"{schema}_views")
    await db.execute(AND_POSITION)
    await db.execute("INSERT INTO head VALUES ($1, $2)", projection.definition, projection.views)
    await db.execute("SET LOCAL search_path = DEFAULT")
    await db.execute(
        f"GRANT USAGE ON SCHEMA {schema} TO {projection.role};"
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {projection.role};"
        # rows and cursor are one transaction and can be replayed: a commit that a power cut takes back is only done again
        f"ALTER ROLE {projection.role} SET synchronous_commit = off"
    )


async def _try_views(db: asyncpg.Connection, projection: Projection, nowhere: str) -> None:
    """Make the views where nobody sees them, and take them back: a mistake must not come up when tables are swapped."""
    trial = db.transaction()
    await trial.start()
    await db.execute(f"CREATE SCHEMA {nowhere}")
    await show(db, projection, nowhere)
    await trial.rollback()


async def show(db: asyncpg.Connection, projection: Projection, schema: str) -> None:
    """Make the projection's views in a schema, of the tables that the search path leads to."""
    first_line = projection.tables.count("\n") + 1
    await execute(db, in_schema(projection.views, schema), projection.file, first_line)


async def definition(db: asyncpg.Connection, schema: str) -> str | None:
    """Which code made the tables of a schema; None if there are none."""
    if not await db.fetchval(
        "SELECT 1 FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'head' AND column_name = 'views'",
        schema,
    ):
        return None
    found: str | None = await db.fetchval(f"SELECT definition FROM {schema}.head")
    return found


async def renew(db: asyncpg.Connection, schema: str) -> None:
    """Let a head that older code made know what it is asked today; as the owner."""
    await db.execute(
        f"ALTER TABLE IF EXISTS {schema}.head ADD COLUMN IF NOT EXISTS older text[] NOT NULL DEFAULT '{{}}', "
        "ADD COLUMN IF NOT EXISTS waiting text, ADD COLUMN IF NOT EXISTS waiting_at timestamptz"
    )


async def code(db: asyncpg.Connection, projection: Projection) -> str:
    """How the code that made the live tables stands to this projection, and to a worker that waits for tables of its own."""
    waits = f"coalesce(waiting_at > now() - make_interval(secs => {WAITS_S}), false) AS waits"
    head = await _head(db, projection.schema, f"definition, older, waiting, {waits}")
    made, older = head["definition"], head["older"]
    known = projection.definition
    found = "same" if made == known else "newer than this" if known in older else "other: rebuild"
    if head["waits"] and head["waiting"] != made:
        found += "; a worker is older: restart it" if head["waiting"] in older else "; a worker is newer: rebuild"
    return found


async def _head(db: asyncpg.Connection, schema: str, columns: str) -> Any:
    try:
        return await db.fetchrow(f"SELECT {columns} FROM {schema}.head")
    except NO_SUCH_COLUMN as error:
        raise Unusable(
            f"the tables of {schema} are of older code, which knew less of them: run `weft setup`"
        ) from error


async def position(db: asyncpg.Connection, schema: str) -> dict[Place, tuple[str, int]]:
    """(topic id, next offset) by partition."""
    rows = await db.fetch(f"SELECT topic, partition, topic_id, next_offset FROM {schema}.cursor")
    return {(r["topic"], r["partition"]): (r["topic_id"], r["next_offset"]) for r in rows}


async def copy(db: asyncpg.Connection, projection: Projection, schema: str, rows: Iterable[Any]) -> int:
    """Add rows that are not there yet, as they come; returns how many there were."""
    done: str = await db.copy_records_to_table(
        projection.name,
        schema_name=schema,
        columns=projection.columns,
        records=chain.from_iterable(values(projection, some) for some in _chunks(rows)),
        timeout=LONG,
    )
    return int(done.removeprefix("COPY "))


def _chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(rows)
    while some := list(islice(left, COPIED)):
        yield some


async def move(
    db: asyncpg.Connection,
    schema: str,
    positions: Mapping[Place, int],
    topic_ids: Mapping[str, str],
    ends: Mapping[Place, int] | None = None,
    recorded: Mapping[Place, datetime] | None = None,
) -> None:
    """Set the cursor; `ends` is where the log ended then, `recorded` the time of the last event read."""
    places = list(positions)
    await db.execute(
        f"INSERT INTO {schema}.cursor AS c SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::timestamptz[]) "
        "ON CONFLICT (topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset, log_end = EXCLUDED.log_end, "
        "recorded_at = coalesce(EXCLUDED.recorded_at, c.recorded_at)",
        [topic for topic, _ in places],
        [partition for _, partition in places],
        [topic_ids[topic] for topic, _ in places],
        list(positions.values()),
        [max(positions[place], (ends or {}).get(place, 0)) for place in places],
        [(recorded or {}).get(place) for place in places],
    )


def _advice(projection: Projection, older: Sequence[str]) -> str:
    name = projection.name
    if projection.definition in older:
        return f"this worker is older than the tables of {name}, which newer code made: restart it with that code"
    return f"the tables of {name} are of other code: run `weft rebuild {name}`"


class Store:
    """Rows and cursor of one projection, in one schema."""

    def __init__(self, db: asyncpg.Connection, projection: Projection, schema: str | None = None) -> None:
        self._db = db
        self._projection = p = projection
        self.schema = schema or projection.schema
        self.version = 0
        table, key = f"{self.schema}.{p.name}", p.key
        names, arrays = ", ".join(p.columns), ", ".join(f"${i + 1}::{t}[]" for i, t in enumerate(p.column_types))
        updates = ", ".join(f"{c} = EXCLUDED.{c}" for c in p.columns[1:])
        self._select = f"SELECT {names} FROM {table} WHERE {key} = ANY($1::text[])"
        self._upsert = (
            f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT ({key}) DO UPDATE SET {updates}"
        )
        self._delete = f"DELETE FROM {table} WHERE {key} = ANY($1::text[])"
        self._move_head = f"UPDATE {self.schema}.head SET version = version + 1, checked_at = now() WHERE version = $1 AND definition = $2"

    async def load(self) -> dict[Place, tuple[str, int]]:
        """Take note of the version; returns (topic id, next offset) by partition."""
        head = await _head(self._db, self.schema, "version, definition, older")
        if head is None or head["definition"] != self._projection.definition:
            raise OfOtherCode(_advice(self._projection, head["older"] if head else []))
        self.version = head["version"]
        return await position(self._db, self.schema)

    async def wait(self) -> None:
        """Note that a projector of this code would go on, and cannot: `weft status` says so."""
        await self._db.execute(
            f"UPDATE {self.schema}.head SET waiting = $1, waiting_at = now()", self._projection.definition
        )

    async def commit(
        self, fold: Fold, batch: Batch, topic_ids: Mapping[str, str], ends: Mapping[Place, int] | None = None
    ) -> None:
        """Rows and cursor in one transaction; raises Fenced if the version is not ours any more. `ends` as in `move`.

        Unwritable names the event of which Postgres does not take what is made of it.
        """
        try:
            async with self._db.transaction():
                await self.apply(fold, batch, topic_ids, ends)
        except UNTAKEN as error:
            raise await self._unwritable(fold, batch.facts) or error from error
        self.version += 1

    async def _unwritable(self, fold: Fold, facts: Sequence[Fact]) -> Unwritable | None:
        """What is wrong with the first event that cannot be written, all written one by one; nothing of it stays."""
        trial = self._db.transaction()
        await trial.start()
        try:
            for fact in facts:
                try:
                    async with self._db.transaction():
                        await self._write(fold, [fact])
                except UNTAKEN as error:
                    return Unwritable(f"{self._projection.name} cannot be made of {fact[2].id}: {error}")
        finally:
            await trial.rollback()
        return None

    async def apply(
        self, fold: Fold, batch: Batch, topic_ids: Mapping[str, str], ends: Mapping[Place, int] | None = None
    ) -> None:
        """The same inside somebody's transaction; `version` is the caller's to count."""
        if await self._db.execute(self._move_head, self.version, self._projection.definition) != "UPDATE 1":
            raise Fenced
        await move(self._db, self.schema, batch.positions, topic_ids, ends, batch.recorded)
        if batch.facts:
            await self._write(fold, batch.facts)

    async def still_there(self) -> None:
        """Note that somebody looked and found nothing new."""
        await self._db.execute(f"UPDATE {self.schema}.head SET checked_at = now() WHERE version = $1", self.version)

    async def _write(self, fold: Fold, facts: Sequence[Fact]) -> None:
        make, key = self._projection.row, self._projection.key
        found = await self._db.fetch(self._select, list({row_id for row_id, _, _ in facts}))
        rows: dict[str, Any] = {r[key]: make(**dict(r)) for r in found}
        fold.apply(rows, facts)
        kept = [row for row in rows.values() if row is not None]
        if kept:
            await self._db.execute(self._upsert, *map(list, zip(*values(self._projection, kept), strict=True)))
        if gone := [row_id for row_id, row in rows.items() if row is None]:
            await self._db.execute(self._delete, gone)
