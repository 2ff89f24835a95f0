"""What a log says of itself, in the envelope of an event: nobody asked for it, and no state or row is made of it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from confluent_kafka import Consumer

from infra.kafka import reading
from infra.kafka.log import Producer
from infra.kafka.reading import Place
from infra.messages import Begun, Moved
from infra.model.context import Context
from infra.wire.avro import Codec
from infra.wire.envelope import COMMAND_TOPIC, NO_OFFSET, EventEnvelope, Way, event_record, is_accepted
from infra.wire.inbound import Inbound
from infra.wire.record import Outgoing
from infra.wire.schemas import NAMESPACE

NO_COMMAND = Way.COMMANDS, NO_OFFSET


@dataclass
class Last:
    """How a partition of a log ends: of its accepted records the last time, what is decided of each way, what it says of itself."""

    end: int
    at: int = 0
    inbound: Inbound = field(default_factory=Inbound)
    begun: set[str] = field(default_factory=set)
    moved: Moved | None = None


def of_itself(
    codec: Codec,
    event: Any,
    c: Context,
    place: Place,
    offset: int,
    at: int,
    command: tuple[Way, int] = NO_COMMAND,
    topic_id: str = "",
) -> Outgoing:
    """The record of this event at an offset; with a `command`, those up to it are decided, of the topic of this id."""
    envelope, type_name = EventEnvelope(c.name, *place, codec.types), codec.names[type(event)]
    identity = f"grow/{place[0]}/{place[1]}/{offset}".encode()
    of_topic = (COMMAND_TOPIC, topic_id.encode()) if topic_id else None
    shared = envelope.command_part(b"", identity, identity, *command, f"{NAMESPACE}.Grow".encode(), of_topic)
    headers = envelope.headers(shared, type_name.encode(), offset)
    return Outgoing(None, codec.encode(event), headers, at)


def last(client: Consumer, codec: Codec, place: Place) -> Last:
    """How a partition ends."""
    (end,) = reading.ends(client, [place]).values()
    known = Last(end)
    for records in reading.read_all(client, {}, {place: end}):
        for record in records:
            if is_accepted(record):
                event = event_record(record)
                known.at = max(known.at, event.at)
                known.inbound.take(event)
                if event.value[:5] == codec.prefix_of(Moved):
                    known.moved = codec.decode(event.value)
                elif event.value[:5] == codec.prefix_of(Begun):
                    known.begun |= {*codec.decode(event.value).places}
    return known


async def append(
    appender: Producer, client: Consumer, codec: Codec, place: Place, record_at: Callable[[Last], Outgoing | None]
) -> Last:
    """Append what a partition is to say of itself at its end, unless that is nothing; how it ends then."""
    while True:
        known = last(client, codec, place)
        record = record_at(known)
        if record is None:
            return known
        if await appender.append(*place, [record]) == known.end:
            return replace(known, end=known.end + 1)  # otherwise somebody wrote first: read again
