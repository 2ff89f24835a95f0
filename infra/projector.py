"""Keeps one projection up with the log: a batch is folded in memory and written in one transaction with its cursor.

The transaction starts by moving the projection's version from the value this projector knows: if no row moves, another
projector took over, and this one lets go.
"""

import asyncio
from collections.abc import Mapping, Sequence
from random import uniform
from typing import Any

import asyncpg
import structlog
from confluent_kafka import Consumer

from infra import mesh, postgres, reading
from infra.avro import Codec
from infra.errors import LogDamaged, Unknown, Unusable
from infra.projection import Projection
from infra.reading import Place
from infra.record import TYPE, Read, accepted
from infra.settings import Settings, address, as_role

_log = structlog.get_logger()
BATCH = 5000
NUL = "\x00"


class Fenced(Exception):
    """Another projector moved this projection on."""


class Fold:
    """Rows in memory: what a batch of events makes of the rows it touches. Pure."""

    def __init__(self, projection: Projection, codec: Codec) -> None:
        self._projection = projection
        self._codec = codec
        self._wanted = {codec.names[event].encode() for event in projection.events}

    def relevant(self, records: Sequence[Read]) -> list[tuple[str, Any, Any]]:
        """(row id, event, meta) of every accepted event this projection reads."""
        found = []
        for record in records:
            headers = dict(record.headers)
            if not accepted(headers, record.offset) or (self._wanted and headers.get(TYPE) not in self._wanted):
                continue
            try:
                event, meta = self._codec.decode(record.value or b""), reading.meta(record, headers)
            except (ValueError, KeyError) as error:
                raise LogDamaged(
                    f"{record.topic}/{record.partition}/{record.offset} was accepted but cannot be read: {error}"
                ) from error
            found.append((storable(self._projection.row_id(event, meta)), event, meta))
        return found

    def apply(self, rows: dict[str, Any], facts: Sequence[tuple[str, Any, Any]]) -> None:
        """Fold the facts into `rows`, in place; None marks a row that is gone."""
        project = self._projection.project
        for row_id, event, meta in facts:
            rows[row_id] = project(rows.get(row_id), event, meta)


class Store:
    """The rows and the cursor of one projection in Postgres."""

    def __init__(self, db: asyncpg.Connection, projection: Projection) -> None:
        self._db = db
        self._projection = projection
        self.version = 0
        p, key = projection, projection.columns[0]
        table = f"{p.schema}.{p.name}"
        names, arrays = ", ".join(p.columns), ", ".join(f"${i + 1}::{t}[]" for i, t in enumerate(p.column_types))
        updates = ", ".join(f"{c} = EXCLUDED.{c}" for c in p.columns[1:])
        self._select = f"SELECT {names} FROM {table} WHERE {key} = ANY($1::text[])"
        self._upsert = (
            f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT ({key}) DO UPDATE SET {updates}"
        )
        self._delete = f"DELETE FROM {table} WHERE {key} = ANY($1::text[])"
        self._move_head = f"UPDATE {p.schema}.head SET version = version + 1 WHERE version = $1 AND definition = $2"
        self._move_cursor = (
            f"INSERT INTO {p.schema}.cursor (topic, partition, topic_id, next_offset) SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[]) "
            "ON CONFLICT (topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset"
        )

    async def load(self) -> dict[Place, tuple[str, int]]:
        """Take note of the version; returns (topic id, next offset) by partition."""
        schema = self._projection.schema
        head = await self._db.fetchrow(f"SELECT version, definition FROM {schema}.head")
        if head is None or head["definition"] != self._projection.definition:
            raise Unusable(
                f"the tables of {self._projection.name} are of another version of the code; run `weft setup`"
            )
        self.version = head["version"]
        rows = await self._db.fetch(f"SELECT topic, partition, topic_id, next_offset FROM {schema}.cursor")
        return {(r["topic"], r["partition"]): (r["topic_id"], r["next_offset"]) for r in rows}

    async def commit(
        self,
        fold: Fold,
        facts: Sequence[tuple[str, Any, Any]],
        positions: Mapping[Place, int],
        topic_ids: Mapping[str, str],
    ) -> None:
        """Rows and cursor in one transaction; raises Fenced if the version is not ours any more."""
        async with self._db.transaction():
            if await self._db.execute(self._move_head, self.version, self._projection.definition) != "UPDATE 1":
                raise Fenced
            places = list(positions)
            await self._db.execute(
                self._move_cursor,
                [t for t, _ in places],
                [p for _, p in places],
                [topic_ids[t] for t, _ in places],
                list(positions.values()),
            )
            if facts:
                await self._write(fold, facts)
        self.version += 1

    async def _write(self, fold: Fold, facts: Sequence[tuple[str, Any, Any]]) -> None:
        columns, make = self._projection.columns, self._projection.row
        found = await self._db.fetch(self._select, list({row_id for row_id, _, _ in facts}))
        rows: dict[str, Any] = {r[columns[0]]: make(**dict(r)) for r in found}
        fold.apply(rows, facts)
        kept = [row for row in rows.values() if row is not None]
        if kept:
            await self._db.execute(self._upsert, *([storable(getattr(row, c)) for row in kept] for c in columns))
        if gone := [row_id for row_id, row in rows.items() if row is None]:
            await self._db.execute(self._delete, gone)


async def run(projection: Projection, settings: Settings) -> None:
    """Project until cancelled; waits out Kafka and Postgres, and stops with an error when the log is not what it was."""
    delay = 0.2
    while True:
        try:
            await _session(projection, settings)
        except Fenced:
            _log.info("another projector is at work, standing by", projection=projection.name)
            await asyncio.sleep(uniform(1.0, 3.0))
            delay = 0.2
        except (Unknown, Unusable, *postgres.TROUBLE) as error:
            _log.warning("projector waits", projection=projection.name, error=str(error) or repr(error))
            await asyncio.sleep(delay * uniform(0.5, 1.5))
            delay = min(delay * 2, 5.0)


async def _session(projection: Projection, settings: Settings) -> None:
    servers = address(settings, "kafka")
    topics = mesh.projection_topics(projection)
    client = reading.consumer(servers)
    try:
        async with postgres.connection(as_role(address(settings, "postgres"), projection.role)) as db:
            store, fold = Store(db, projection), Fold(projection, mesh.codec())
            cursor = await store.load()
            topic_ids = await asyncio.to_thread(reading.topic_ids, servers, topics)
            for (topic, partition), (topic_id, _) in cursor.items():
                if topic_ids.get(topic, topic_id) != topic_id:
                    raise LogDamaged(
                        f"{topic} is another topic than the one {projection.name} has read (partition {partition}): rebuild the projection from it"
                    )
            places = await asyncio.to_thread(reading.partitions_of, client, topics)
            positions = {place: cursor.get(place, ("", 0))[1] for place in places}
            await asyncio.to_thread(reading.ends, client, places, positions)
            reading.assign(client, positions)
            _log.info("projecting", projection=projection.name, partitions=len(positions))
            await _follow(client, store, fold, topic_ids)
    finally:
        await asyncio.to_thread(client.close)


async def _follow(client: Consumer, store: Store, fold: Fold, topic_ids: Mapping[str, str]) -> None:
    while True:
        records = await asyncio.to_thread(reading.poll, client, BATCH, 0.5)
        if records:
            positions = {(record.topic, record.partition): record.offset + 1 for record in records}
            await store.commit(fold, fold.relevant(records), positions, topic_ids)


def storable(value: Any) -> Any:
    """Postgres has no NUL in text; an event may."""
    return value.replace(NUL, "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) and NUL in value else value
