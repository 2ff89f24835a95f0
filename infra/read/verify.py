"""Holds every row of every projection against the log, and the log against its own rule.

The log is folded anew, one record at a time, by nothing that the projectors use; rows are read in one snapshot of the database
together with the position they claim to stand at.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from confluent_kafka import Consumer

from infra.kafka import reading
from infra.kafka.inbound import gauging, trouble
from infra.kafka.reading import Place
from infra.mesh import Mesh
from infra.messages import REUSED_CODE, Refused
from infra.model.context import Context
from infra.model.projection import Projection
from infra.read import postgres, tables
from infra.read.fold import one_by_one
from infra.read.rebuild import warm
from infra.read.rebuild.compare import compare_rows, traced
from infra.settings import Settings, address, as_role
from infra.wire.avro import Codec
from infra.wire.envelope import (
    CAUSATION,
    DIGEST,
    DUE_OF,
    ID,
    ORIGINAL,
    OUTCOME_OF,
    CommandName,
    Way,
    accepted,
    command_name,
    event_record,
    way_of,
)
from infra.wire.inbound import Inbound
from infra.wire.record import HeaderMap, Read, place_of

SHOWN = 5


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
        futures = [pool.submit(log, settings, mesh, name) for name in contexts]
        futures += [pool.submit(projection, settings, mesh, name) for name in projections]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def projection(settings: Settings, mesh: Mesh, name: str) -> Verdict:
    """Compare every row of a projection with the log up to where the projection stands."""
    return asyncio.run(_projection(settings, mesh, mesh.projection(name)))


async def _projection(settings: Settings, mesh: Mesh, p: Projection) -> Verdict:
    async with (
        postgres.connection(as_role(address(settings, "postgres"), p.role)) as db,
        db.transaction(isolation="repeatable_read"),
    ):
        made_by = await tables.definition(db, p.schema)
        if made_by is None:
            return Verdict(p.name, 0, wrong=["it has no tables: run `weft setup`"])
        known = await tables.position(db, p.schema)
        names = ", ".join(p.columns)
        try:
            found = await db.fetch(f"SELECT {names} FROM {p.schema}.{p.name}", timeout=postgres.LONG)
        except postgres.NO_SUCH_COLUMN as error:
            return Verdict(p.name, 0, wrong=[f"its tables are of other code ({error}): run `weft rebuild {p.name}`"])
    live = {row[p.key]: p.row(**dict(row)) for row in found}
    with reading.opened(settings) as client:
        places = reading.partitions_of(client, mesh.topics_of(p))
        ends = reading.ends(client, places, {place: offset for place, (_, offset) in known.items()})
        position = {place: known.get(place, ("", 0))[1] for place in places}
        differences = compare_rows(p, live, one_by_one(p, mesh.codec, _read(client, position)))
        if differences.samples:
            samples = traced(p, mesh.codec, differences.samples, reading.read_all(client, {}, position))
            differences = replace(differences, samples=samples)
    wrong = list(differences.lines()) if differences else []
    if made_by != p.definition:
        wrong.append(f"its tables are of other code: run `weft rebuild {p.name}`")
    return Verdict(
        p.name, sum(position.values()), len(live), behind=sum(ends.values()) - sum(position.values()), wrong=wrong
    )


def log(settings: Settings, mesh: Mesh, name: str) -> Verdict:
    """Check the events topic of a context: whole from offset 0, ids by place, times that never go back, no command torn or twice."""
    c = mesh.context(name)
    with reading.opened(settings) as client:
        ends = reading.ends(client, reading.partitions_of(client, [c.events_topic]))
        chain = Chain(c, mesh.codec, settings.dedupe_ms)
        for record in _read(client, ends):
            chain.add(record)
    wrong = [*chain.wrong[:SHOWN], *_more(chain.wrong), *_lost(settings, c, chain.inbound)]
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


class Decided(NamedTuple):
    """Where the last event of a command stands."""

    partition: int
    offset: int
    timestamp: int


class Chain:
    """What the accepted records of an events topic have to be to each other."""

    def __init__(self, context: Context, codec: Codec, dedupe_ms: int) -> None:
        self.records = self.void = 0
        self.wrong: list[str] = []
        self.inbound: dict[int, Inbound] = {}
        self._context = context
        self._codec = codec
        self._last: dict[int, Read] = {}
        self._next: dict[int, int] = {}
        self._dedupe_ms = dedupe_ms
        self._decided: dict[tuple[bytes | None, CommandName], Decided] = {}  # by key and command

    def add(self, record: Read) -> None:
        """Take in the next record of a partition."""
        place = place_of(record)
        if record.offset != self._next.get(record.partition, 0):
            self.wrong.append(f"{place} follows {self._next.get(record.partition, 0) - 1}: records are gone")
        self._next[record.partition] = record.offset + 1
        self.records += 1
        headers = dict(record.headers)
        if not accepted(headers, record.offset):
            self.void += 1
            return
        self.inbound.setdefault(record.partition, Inbound()).take(event_record(record))
        self.wrong += [f"{place} {what}" for what in self._problems(record, headers, place)]
        self._last[record.partition] = record

    def _problems(self, record: Read, headers: dict[str, bytes | None], place: str) -> Iterator[str]:
        if headers.get(ID) != place.encode() and ORIGINAL not in headers:
            yield f"has the id {headers.get(ID)!r}"
        last = self._last.get(record.partition)
        if last is not None and record.timestamp < last.timestamp:
            yield f"was recorded {last.timestamp - record.timestamp} ms before the one in front of it"
        try:
            event = self._codec.decode(record.value or b"")
        except ValueError as error:
            yield f"was accepted and cannot be read: {error}"
            return
        if type(event) in self._context.events or (type(event) is Refused and not _may_come_again(event, headers)):
            commands = [(record.key, name) for name in _names(headers)]
            for before in [self._decided[command] for command in commands if command in self._decided][:1]:
                is_next = (before.partition, before.offset) == (record.partition, record.offset - 1)
                if not is_next and record.timestamp - before.timestamp <= self._dedupe_ms:
                    name = (headers.get(CAUSATION) or b"").decode(errors="replace")
                    yield f"decides {name} again, which {before.partition}/{before.offset} did"
            self._decided |= dict.fromkeys(commands, Decided(record.partition, record.offset, record.timestamp))


def _names(headers: HeaderMap) -> list[CommandName]:
    """What the command of an event is called; of one before there were two ways, nobody can say which of both it is."""
    way, identity = way_of(headers), headers.get(CAUSATION) or b""
    ways = Way if way is Way.COMMANDS and DIGEST not in headers else (way,)
    return [command_name(way, identity) for way in ways]


def _may_come_again(answer: Refused, headers: HeaderMap) -> bool:
    """Whether it is to a command that took another's id, or to one that counts as long as what it answers is open."""
    return answer.code == REUSED_CODE or OUTCOME_OF in headers or DUE_OF in headers


def _read(client: Consumer, end: dict[Place, int]) -> Iterator[Read]:
    return (record for batch in reading.read_all(client, {}, end) for record in batch)


def _more(wrong: Sequence[Any]) -> list[str]:
    return [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
