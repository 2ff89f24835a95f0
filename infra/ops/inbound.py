"""What an operator is told of a command topic that is not the one its log was decided from, and what becomes of the answer.

The answer is a record of the log: from here on the commands of this way are those of that topic, from that offset on. All
that is there and is not decided is decided then: nothing that is still there is passed over.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from confluent_kafka import Consumer

from infra.errors import LogMoved, Unusable
from infra.kafka import reading, topics
from infra.kafka.inbound import Found, Gauge, Loss, Seen, Trouble, trouble
from infra.kafka.log import Producer
from infra.kafka.reading import Place
from infra.kafka.topics import HEARD_TOPIC, STOPPED_TOPIC
from infra.mesh import Mesh
from infra.messages import Moved, Resumed
from infra.model.context import Context
from infra.ops.hearing import asked_once_more, is_heard_again, lowered, note_marks, source_of
from infra.ops.positions import listener
from infra.settings import Settings, address
from infra.wire.avro import Codec
from infra.wire.envelope import COMMAND_TOPIC, ReactionPlace, Way, event_record, is_accepted
from infra.wire.inbound import Decided, Inbound, Inlet, decided_by, is_the_same, resumption
from infra.wire.record import Outgoing, Read
from infra.write.heard import Listener, positions


@dataclass
class Tail:
    """A partition of an events topic as far as it was read: its end, its time, and what it says of its command topics.

    `marks` is up to where reactions are decided there.
    """

    offset: int
    at: int
    inbound: Inbound
    marks: dict[bytes, ReactionPlace] = field(default_factory=dict)

    def take(self, codec: Codec, records: Iterable[Read]) -> None:
        for record in records:
            self.offset = record.offset + 1
            if is_accepted(record):
                event = event_record(record)
                self.at = max(self.at, event.at)
                self.inbound.take(event)
                note_marks(self.marks, codec, event)
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
    gauge: Gauge, context: Context, known: Mapping[int, Tail], partitions: int
) -> dict[Place, tuple[Trouble, Inlet, Seen | None]]:
    """What is wrong with the command topics of these partitions, of a log that has so many."""
    inlets = {(topic, n): tail.inbound.inlet(way) for topic, way in ways(context).items() for n, tail in known.items()}
    found = gauge.look(list(inlets), {place: i.decided.offset for place, i in inlets.items() if i.decided})
    wrong = {place: trouble(place, inlet, found.get(place), partitions) for place, inlet in inlets.items()}
    return {place: (why, inlets[place], found.get(place)) for place, why in wrong.items() if why}


def offers(
    client: Consumer, gauge: Gauge, context: Context, known: Mapping[int, Tail], partitions: int
) -> tuple[list[Offer], list[Trouble]]:
    """What can be accepted; and what cannot, since there is no topic to go on with."""
    offered, without = [], []
    for place, (why, inlet, found) in troubles(gauge, context, known, partitions).items():
        if not isinstance(found, Found) or why.loss is Loss.TORN:
            without.append(why)
            continue
        way = ways(context)[place[0]]
        cursor = _cut_at(client, gauge, context, place, way, inlet, found) if why.loss is Loss.CUT else found.low
        offered.append(Offer(why, way, inlet, found, cursor))
    return offered, without


def _cut_at(
    client: Consumer, gauge: Gauge, context: Context, place: Place, way: Way, inlet: Inlet, found: Found
) -> int:
    """Where a topic was cut: behind the last record that the log decided at its very place."""
    events = (context.events_topic, place[1])
    log = (r for batch in reading.read_all(client, {}, reading.ends(client, [events])) for r in batch)
    decided = decisions(log, way)
    there = gauge.records(place, found.low, min(found.end, inlet.cursor))
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


def check_at_rest(settings: Settings, mesh: Mesh, context: Context, offered: Iterable[Offer]) -> None:
    """Unusable if the policy of a context has to hear again what it asked, and is at work: it would go on from where it is."""
    if not any(offer.way is Way.OWN for offer in offered) or not mesh.heard_topics(context):
        return
    with topics.admin(settings) as admin:
        if topics.at_work(admin, [context]):
            raise Unusable(
                f"{context.name} is at work, and its policy has to hear again what it asked in {context.own_topic}: stop its "
                "workers first (an embedded mesh: `weft down`), and start them again when this is done"
            )


def accept(
    settings: Settings,
    mesh: Mesh,
    client: Consumer,
    gauge: Gauge,
    context: Context,
    known: Mapping[int, Tail],
    offered: list[Offer],
) -> tuple[list[Offer], dict[Place, int]]:
    """Have the log say where it goes on; who is at work takes notice within seconds.

    Returns what was accepted, and where its policy goes on hearing of what it had heard before, if it has to hear that again.
    Raises Unusable, with nothing changed, if that cannot be while it is at work.
    """
    check_at_rest(settings, mesh, context, offered)
    return asyncio.run(_accept(settings, mesh, client, gauge, context, known, offered))


async def _accept(
    settings: Settings,
    mesh: Mesh,
    client: Consumer,
    gauge: Gauge,
    context: Context,
    known: Mapping[int, Tail],
    offered: list[Offer],
) -> tuple[list[Offer], dict[Place, int]]:
    again: dict[Place, int] = {}
    producer = Producer(address(settings, "kafka"), "weft-accept")
    try:
        own = [offer for offer in offered if offer.way is Way.OWN]
        if own and mesh.heard_topics(context):
            # first, and in this order: who is interrupted finds all of it standing still, and does it once more
            who = await asyncio.to_thread(listener, settings, mesh, context)
            heard = reading.partitions_of(client, mesh.heard_topics(context))
            again = await _hear_again(settings, producer, who, heard, [known[o.trouble.place[1]].marks for o in own])
            sources = {source_of(who, place) for place in heard}
            offered = [await _put_behind(producer, gauge, offer, sources, known) for offer in offered]
        for offer in offered:
            topic, number = offer.trouble.place
            await append_word(
                mesh.codec, client, producer, context, known[number], number, offer.way, offer.inlet, offer.event
            )
            await producer.send(STOPPED_TOPIC, [(0, Outgoing(f"{topic}/{number}".encode(), None, []))])
    finally:
        await producer.stop()
    return offered, again


async def _hear_again(
    settings: Settings, producer: Producer, who: Listener, heard: list[Place], lost: list[dict[bytes, ReactionPlace]]
) -> dict[Place, int]:
    """Set back how far a policy has heard to where nothing of what it asked can be lost; positions that are not higher stay."""
    said = positions(await asyncio.to_thread(topics.heard_positions, settings))
    again = lowered(who, said, heard, lost)
    await producer.send(HEARD_TOPIC, [(0, who.record(place, offset)) for place, offset in again.items()])
    return again


async def _put_behind(
    producer: Producer, gauge: Gauge, offer: Offer, sources: Collection[bytes], known: Mapping[int, Tail]
) -> Offer:
    """Go on behind what waits there, if that has reactions which come again by themselves; what does not is asked once more."""
    topic, number = offer.trouble.place
    if offer.way is not Way.OWN:
        return offer
    marks = known[number].marks
    waiting = await asyncio.to_thread(list, gauge.records((topic, number), offer.cursor, offer.found.end))
    once_more = [record for record in waiting if not is_heard_again(record, sources, marks)]
    if len(once_more) == len(waiting):
        return offer
    await producer.send(topic, [(number, asked_once_more(record)) for record in once_more])
    return replace(offer, cursor=offer.found.end)


async def append_word(
    codec: Codec,
    client: Consumer,
    producer: Producer,
    context: Context,
    tail: Tail,
    number: int,
    way: Way,
    inlet: Inlet,
    event: Resumed,
) -> None:
    """Append where reading goes on, where it counts: behind everything that others append meanwhile. Unusable if `inlet` moved."""
    place = (context.events_topic, number)
    while True:
        if tail.inbound.inlet(way) != inlet:
            raise Unusable(
                f"{context.name} went on meanwhile: look at `weft status`, and run it again if that is not well"
            )
        record = resumption(codec, context.name, place, way, event, tail.offset, tail.at)
        landed = await producer.append(*place, [record])
        start, (end,) = tail.offset, reading.ends(client, [place]).values()
        for records in reading.read_all(client, {place: start}, {place: end}):
            tail.take(codec, records)
        if landed == start:
            return
