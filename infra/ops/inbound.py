"""What an operator is told of a command topic that is not the one its log was decided from, and what becomes of the answer.

The answer is a record of the log: from here on the commands of this way are those of that topic, from that offset on. All
that is there and is not decided is decided then: nothing that is still there is passed over.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer

from infra.errors import LogMoved, Unusable
from infra.kafka import reading
from infra.kafka.inbound import Found, Gauge, Loss, Trouble, trouble
from infra.kafka.log import Producer
from infra.kafka.reading import Place
from infra.kafka.topics import STOPPED_TOPIC
from infra.mesh import Mesh
from infra.messages import Moved, Resumed
from infra.model.context import Context
from infra.settings import Settings, address
from infra.wire.avro import Codec
from infra.wire.envelope import COMMAND_TOPIC, Way, event_record, is_accepted
from infra.wire.inbound import Decided, Inbound, Inlet, decided_by, is_the_same, resumption
from infra.wire.record import Outgoing, Read


@dataclass
class Tail:
    """A partition of an events topic as far as it was read: its end, its time, and what it says of its command topics."""

    offset: int
    at: int
    inbound: Inbound

    def take(self, codec: Codec, records: Iterable[Read]) -> None:
        for record in records:
            self.offset = record.offset + 1
            if is_accepted(record):
                event = event_record(record)
                self.at = max(self.at, event.at)
                self.inbound.take(event)
                if event.value[:5] == codec.prefix_of(Moved):
                    raise LogMoved(f"{record.topic} was sealed, and goes on in another topic: run it again")


@dataclass(frozen=True)
class Offer:
    """What is wrong with a place, and where it goes on if that is accepted; `waiting` is how much is there from then on."""

    trouble: Trouble
    way: Way
    inlet: Inlet
    found: Found
    cursor: int

    @property
    def waiting(self) -> int:
        return self.found.end - self.cursor

    @property
    def event(self) -> Resumed:
        return Resumed(topic_id=self.found.topic_id, cursor=self.cursor, reason=str(self.trouble))


def ways(context: Context) -> dict[str, Way]:
    return {context.commands_topic: Way.COMMANDS, context.own_topic: Way.OWN}


def tails(codec: Codec, client: Consumer, context: Context, numbers: Collection[int] | None = None) -> dict[int, Tail]:
    """What these partitions (all by default) of a context's log say, read from the beginning."""
    places = [p for p in reading.partitions_of(client, [context.events_topic]) if numbers is None or p[1] in numbers]
    found = {number: Tail(0, 0, Inbound()) for _, number in places}
    for batch in reading.read_all(client, {}, reading.ends(client, places)):
        for (_, number), records in reading.by_place(batch).items():
            found[number].take(codec, records)
    return found


def troubles(
    gauge: Gauge, context: Context, known: Mapping[int, Tail]
) -> dict[Place, tuple[Trouble, Inlet, Found | None]]:
    """What is wrong with the command topics of these partitions."""
    inlets = {(topic, n): tail.inbound.inlet(way) for topic, way in ways(context).items() for n, tail in known.items()}
    found = gauge.look(list(inlets), {place: i.decided.offset for place, i in inlets.items() if i.decided})
    wrong = {place: trouble(place, inlet, found.get(place)) for place, inlet in inlets.items()}
    return {place: (why, inlets[place], found.get(place)) for place, why in wrong.items() if why}


def offers(
    client: Consumer, gauge: Gauge, context: Context, known: Mapping[int, Tail]
) -> tuple[list[Offer], list[Trouble]]:
    """What can be accepted; and what cannot, since there is no topic to go on with."""
    offered, without = [], []
    for place, (why, inlet, found) in troubles(gauge, context, known).items():
        if found is None:
            without.append(why)
            continue
        way = ways(context)[place[0]]
        cursor = _cut_at(client, context, place, way, inlet, found) if why.loss is Loss.CUT else found.low
        offered.append(Offer(why, way, inlet, found, cursor))
    return offered, without


def _cut_at(client: Consumer, context: Context, place: Place, way: Way, inlet: Inlet, found: Found) -> int:
    """Where a topic was cut: behind the last record that the log decided at its very place."""
    events = (context.events_topic, place[1])
    log = (r for batch in reading.read_all(client, {}, reading.ends(client, [events])) for r in batch)
    decided = decisions(log, way)
    asked = {place: min(found.end, inlet.cursor)}
    there = (r for batch in reading.read_all(client, {place: found.low}, asked) for r in batch)
    return cut_at(decided, there, found.low)


def decisions(log: Iterable[Read], way: Way) -> dict[int, Decided]:
    """What was decided by one way, by the offset it stood at last."""
    decided: dict[int, Decided] = {}
    for record in log:
        if not is_accepted(record) or (event := event_record(record)).way is not way:
            continue
        if event.identity is not None and event.identity[0] == COMMAND_TOPIC:
            for offset in [offset for offset in decided if offset > event.command_offset]:
                del decided[offset]  # others stand there from here on
        elif (command := decided_by(event)) is not None:
            decided[command.offset] = command
    return decided


def cut_at(decided: Mapping[int, Decided], there: Iterable[Read], low: int) -> int:
    """Behind the last record that is the one that was decided at its place, in front of the first that is not."""
    cut = low
    for record in there:
        if record.offset in decided:
            if not is_the_same(decided[record.offset], record):
                break
            cut = record.offset + 1
    return cut


def accept(
    settings: Settings, mesh: Mesh, client: Consumer, context: Context, known: Mapping[int, Tail], offered: list[Offer]
) -> None:
    """Have the log say where it goes on; who is at work takes notice within seconds."""
    asyncio.run(_accept(settings, mesh, client, context, known, offered))


async def _accept(
    settings: Settings, mesh: Mesh, client: Consumer, context: Context, known: Mapping[int, Tail], offered: list[Offer]
) -> None:
    producer = Producer(address(settings, "kafka"), "weft-accept")
    try:
        for offer in offered:
            topic, number = offer.trouble.place
            await _append(mesh.codec, client, producer, context, known[number], offer)
            await producer.send(STOPPED_TOPIC, [(0, Outgoing(f"{topic}/{number}".encode(), None, []))])
    finally:
        await producer.stop()


async def _append(
    codec: Codec, client: Consumer, producer: Producer, context: Context, tail: Tail, offer: Offer
) -> None:
    """Append the word where it counts: behind everything that others append meanwhile."""
    place = (context.events_topic, offer.trouble.place[1])
    while True:
        if tail.inbound.inlet(offer.way) != offer.inlet:
            raise Unusable(
                f"{context.name} went on meanwhile: look at `weft status`, and run it again if that is not well"
            )
        record = resumption(codec, context.name, place, offer.way, offer.event, tail.offset, tail.at)
        landed = await producer.append(*place, [record])
        start, (end,) = tail.offset, reading.ends(client, [place]).values()
        for records in reading.read_all(client, {place: start}, {place: end}):
            tail.take(codec, records)
        if landed == start:
            return
