"""The operator's last resort about a command that stops its partition whatever is done: the log says that it is passed by.

Only the next command that is not decided is passed by, so that nobody passes by what he has not looked at. The word is a record
of the log, as that of `weft topics accept` is.
"""

import asyncio
from dataclasses import dataclass

from confluent_kafka import Consumer

from infra.errors import Unusable
from infra.kafka.inbound import Found, Gauge
from infra.kafka.log import Producer
from infra.mesh import Mesh
from infra.messages import Resumed
from infra.model.context import Context
from infra.ops.inbound import Tail, append_word, tails, ways
from infra.settings import Settings, address
from infra.wire.envelope import Way
from infra.wire.inbound import Inlet
from infra.wire.record import Read

REASON = "passed by: "


@dataclass(frozen=True)
class Next:
    """The next command of one way into one partition that is not decided."""

    tail: Tail
    number: int
    way: Way
    inlet: Inlet
    record: Read


def next_command(mesh: Mesh, client: Consumer, gauge: Gauge, context: Context, number: int, way: Way) -> Next:
    """What stands there. Unusable if nothing does, or if it is not the topic that the log was decided from."""
    tail = tails(mesh.codec, client, context, [number]).get(number)
    if tail is None:
        raise Unusable(f"{context.events_topic} has no partition {number}")
    topic = next(topic for topic, of in ways(context).items() if of is way)
    place, inlet = (topic, number), tail.inbound.inlet(way)
    found = gauge.look([place], {}).get(place)
    if not isinstance(found, Found) or found.topic_id != inlet.topic_id:
        raise Unusable(f"{topic}/{number} is not what was decided from: look at `weft status` first")
    record = next(iter(gauge.records(place, max(found.low, inlet.cursor), found.end)), None)
    if record is None:
        raise Unusable(f"{topic}/{number}: everything up to its end at {found.end} is decided")
    return Next(tail, number, way, inlet, record)


def skip(settings: Settings, mesh: Mesh, client: Consumer, context: Context, command: Next, reason: str) -> None:
    """Have the log say that this one is passed by; who is at work takes notice within seconds."""
    event = Resumed(topic_id=command.inlet.topic_id, cursor=command.record.offset + 1, reason=f"{REASON}{reason}")

    async def say() -> None:
        producer = Producer(address(settings, "kafka"), "weft-skip")
        try:
            await append_word(
                mesh.codec, client, producer, context, command.tail, command.number, command.way, command.inlet, event
            )
        finally:
            await producer.stop()

    asyncio.run(say())
