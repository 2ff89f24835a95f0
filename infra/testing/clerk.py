"""What somebody does about commands that wait: what is none is discarded, the rest is sent again, as `weft dead` does it.

And about command topics that lost something: they are accepted, as `weft topics accept` does it.
"""

import json
from collections.abc import Iterator, Mapping
from random import Random

from infra.kafka.inbound import Found, Loss, trouble
from infra.kafka.memory import MemoryKafka
from infra.messages import Resumed
from infra.model.context import Context
from infra.ops.inbound import Tail, cut_at, decisions, ways
from infra.testing.facts import Partition
from infra.wire.avro import Codec
from infra.wire.envelope import ID, CommandName, Way, command_headers
from infra.wire.inbound import Inbound, resumption
from infra.wire.inbox import DISCARD
from infra.wire.record import Outgoing, Read, with_header
from infra.write.parking import shown

MENDED = ("failed", "behind")  # why a command waits that can be processed by now


def answers(
    partition: Partition, letters: Mapping[tuple[bytes, CommandName], Read], dice: Random
) -> Iterator[tuple[str, Way, Outgoing]]:
    """(what is done, the record that asks for it, and the way it goes) about the heads of the queues, or all in them."""
    for key, queue in partition.fold.queues.items():
        for command, why in list(queue.items())[: dice.choice((1, len(queue)))]:
            letter, way = letters.get((key, command)), Way.COMMANDS if isinstance(command, bytes) else Way.OWN
            identity = command if isinstance(command, bytes) else command[0]
            if letter and (why in MENDED or dice.random() < 0.2):
                yield f"sent again: {shown(command)}, {why}", way, _again(letter, identity)
            else:
                yield f"to be discarded: {shown(command)}, {why}", way, _discard(key, identity, why)


def word(codec: Codec, context: Context, place: tuple[str, int], kafka: MemoryKafka) -> Outgoing | None:
    """What has the log say where a way in goes on whose topic lost something; None if it has not."""
    topic, number = place
    way, log = ways(context)[topic], kafka.log(context.events_topic, number)
    tail = Tail(0, 0, Inbound())
    tail.take(codec, log)
    inlet = tail.inbound.inlet(way)
    last = {place: inlet.decided.offset} if inlet.decided else {}
    found = kafka.look([place], last)[place]
    wrong = trouble(place, inlet, found)
    if wrong is None or not isinstance(found, Found):
        return None
    low, cursor = found.low, found.low
    if wrong.loss is Loss.CUT:
        cursor = cut_at(decisions(log, way), kafka.log(*place)[low : inlet.cursor], low)
    event = Resumed(topic_id=found.topic_id, cursor=cursor, reason=str(wrong))
    return resumption(codec, context.name, (context.events_topic, number), way, event, tail.offset, tail.at)


def _again(letter: Read, identity: bytes) -> Outgoing:
    headers = [(name, value) for name, value in letter.headers if not name.startswith("dlq-")]
    return Outgoing(letter.key, letter.value, with_header(headers, ID, identity))


def _discard(key: bytes, identity: bytes, why: str) -> Outgoing:
    return Outgoing(key, json.dumps({"reason": why}).encode(), command_headers(DISCARD.decode(), identity.decode()))
