"""Holds every row of every projection against the log, and the log against its own rule.

The log is folded anew, one record at a time, by nothing that the projectors use; rows are read in one snapshot of the database
together with the position they claim to stand at. Neither the rows nor what the log makes are ever in memory as a whole: both
come in the order of their ids.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import asyncpg
from confluent_kafka import Consumer

from infra.kafka import marks, reading
from infra.kafka.inbound import gauging, trouble
from infra.kafka.reading import Place
from infra.mesh import Mesh
from infra.model.context import Context
from infra.model.projection import Projection
from infra.read import postgres, tables
from infra.read.chain import Chain
from infra.read.fold import one_by_one, stored
from infra.read.held import Held, Room, room
from infra.read.rebuild import warm
from infra.read.rebuild.compare import Comparison, Differences, traced
from infra.read.rows import rows
from infra.settings import Settings, address, as_role
from infra.wire.avro import Codec
from infra.wire.envelope import Way
from infra.wire.inbound import Inbound
from infra.wire.record import Read

FETCHED = 2_000  # live rows


@dataclass(frozen=True)
class Verdict:
    """What was found in one projection or one log: what was looked at, how far it is behind, and what is wrong."""

    name: str
    records: int
    rows: int | None = None
    void: int | None = None
    behind: int = 0
    wrong: list[str] = field(default_factory=list)


def verify(
    settings: Settings, mesh: Mesh, projections: Sequence[str], contexts: Sequence[str], processes: int
) -> Iterator[Verdict]:
    """A verdict on each projection and each context's log, as they come, several at a time."""
    with warm.pool(mesh.source, processes) as pool:
        futures = [pool.submit(log, settings, mesh, name, processes) for name in contexts]
        futures += [pool.submit(projection, settings, mesh, name, processes) for name in projections]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def projection(settings: Settings, mesh: Mesh, name: str, processes: int = 1) -> Verdict:
    """Compare every row of a projection with the log up to where the projection stands; in one of so many processes."""
    return asyncio.run(_projection(settings, mesh, mesh.projection(name), room(settings, processes)))


async def _projection(settings: Settings, mesh: Mesh, p: Projection, space: Room) -> Verdict:
    async with postgres.connection(as_role(address(settings, "postgres"), p.role)) as db:
        if await tables.definition(db, p.schema) is None:
            return Verdict(p.name, 0, wrong=["it has no tables: run `weft setup`"])
        with reading.opened(settings) as client:
            try:
                return await _compared(db, client, mesh, p, space)
            except postgres.NO_SUCH_COLUMN as error:
                return Verdict(
                    p.name, 0, wrong=[f"its tables are of other code ({error}): run `weft rebuild {p.name}`"]
                )


async def _compared(db: asyncpg.Connection, client: Consumer, mesh: Mesh, p: Projection, space: Room) -> Verdict:
    """Nearly all of the log is folded before the snapshot is taken, which holds back what Postgres may clean up."""
    select = f'SELECT {", ".join(p.columns)} FROM {p.schema}.{p.name} ORDER BY {p.key} COLLATE "C"'  # as texts are ordered here
    await db.prepare(select)
    places = reading.partitions_of(client, mesh.topics_of(p))
    with Anew(p, mesh.codec, client, space) as anew:
        anew.fold_to((await _standing(db, client, p, places))[0])
        async with db.transaction(isolation="repeatable_read"):
            made_by = await tables.definition(db, p.schema)
            position, ends = await _standing(db, client, p, places)
            anew.fold_to(position)
            live, differences = await _held_against(db, select, p, anew.rows())
    if differences.samples:
        samples = traced(p, mesh.codec, differences.samples, reading.read_all(client, {}, position))
        differences = replace(differences, samples=samples)
    wrong = list(differences.lines()) if differences else []
    if made_by != p.definition:
        wrong.append(f"its tables are of other code: run `weft rebuild {p.name}`")
    return Verdict(
        p.name, sum(position.values()), live, behind=sum(ends.values()) - sum(position.values()), wrong=wrong
    )


async def _standing(
    db: asyncpg.Connection, client: Consumer, p: Projection, places: Sequence[Place]
) -> tuple[dict[Place, int], dict[Place, int]]:
    """Where the rows claim to stand, and where the log ends."""
    known = {place: offset for place, (_, offset) in (await tables.position(db, p.schema)).items()}
    return {place: known.get(place, 0) for place in places}, reading.ends(client, places, known)


async def _held_against(
    db: asyncpg.Connection, select: str, p: Projection, anew: Iterator[tuple[str, Any]]
) -> tuple[int, Differences]:
    """How many live rows there are, and how they differ from what the log makes."""
    live, comparison = 0, Comparison(p, anew)
    async for row in db.cursor(select, prefetch=FETCHED, timeout=postgres.LONG):
        comparison.add(row[p.key], p.row(**dict(row)))
        live += 1
    return live, comparison.differences()


class Anew:
    """The rows of a projection as the log has them, one record after another; nothing at first. To be closed."""

    def __init__(self, p: Projection, codec: Codec, client: Consumer, space: Room) -> None:
        self._projection = p
        self._codec = codec
        self._client = client
        self._room = space
        self._held = rows(p, space)
        self._position: dict[Place, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._held.close()

    def fold_to(self, position: Mapping[Place, int]) -> None:
        """Go on to there; from the beginning, if that is behind: then other tables were put in the place of the live ones."""
        if any(position.get(place, 0) < offset for place, offset in self._position.items()):
            self._held.close()
            self._held, self._position = rows(self._projection, self._room), {}
        fold_one_by_one(
            self._projection, self._codec, reading.read_all(self._client, self._position, position), self._held
        )
        self._position = dict(position)

    def rows(self) -> Iterator[tuple[str, Any]]:
        """As they come back from Postgres, by id, in order; once."""
        return ((row_id, stored(self._projection, row)) for row_id, row in self._held.in_order())


def fold_one_by_one(p: Projection, codec: Codec, batches: Iterable[Sequence[Read]], held: Held[str, Any]) -> None:
    """What these records make of the rows that are held."""
    for records in batches:
        facts = list(one_by_one(p, codec, records))
        with held.having({row_id for row_id, _, _ in facts}) as at_hand:
            for row_id, event, m in facts:
                at_hand[row_id] = p.project(at_hand.get(row_id), event, m)


def log(settings: Settings, mesh: Mesh, name: str, processes: int = 1) -> Verdict:
    """Check the events topic of a context: whole from offset 0, ids by place, times that never go back, no command torn or twice."""
    c = mesh.context(name)
    with reading.opened(settings) as client:
        ends = reading.ends(client, reading.partitions_of(client, [c.events_topic]))
        by_partition = {number: end for (_, number), end in ends.items()}

        def are_marks(number: int, start: int, end: int) -> bool:
            return marks.are_marks(address(settings, "kafka"), (c.events_topic, number), start, end)

        with Chain(c, mesh.codec, settings.dedupe_ms, by_partition, room(settings, processes), are_marks) as chain:
            for records in reading.read_all(client, {}, ends):
                chain.take(records)
    more = [f"and {chain.more} more"] if chain.more else []
    wrong = [*chain.wrong, *more, *_lost(settings, c, chain.inbound)]
    return Verdict(c.events_topic, chain.records, void=chain.void, wrong=wrong)


def _lost(settings: Settings, context: Context, inbound: Mapping[int, Inbound]) -> list[str]:
    """What its command topics have lost, as the log tells; they are looked at when it has been read."""
    ways = {context.commands_topic: Way.COMMANDS, context.own_topic: Way.OWN}
    inlets = {(topic, n): said.inlet(way) for topic, way in ways.items() for n, said in inbound.items()}
    with gauging(address(settings, "kafka")) as gauge:
        found = gauge.look(list(inlets), {place: i.decided.offset for place, i in inlets.items() if i.decided})
    count = context.partition_count(settings)
    wrong = {place: trouble(place, inlet, found.get(place), count) for place, inlet in inlets.items()}
    return [f"{why}: {why.next(context.name)}" for why in wrong.values() if why]
