"""Positions of what was heard: what could not be written is not forgotten, and what is written together may be."""

from random import Random
from typing import Any

import pytest

from infra.errors import Unknown
from infra.kafka.memory import MemoryCommandTopics, MemoryKafka, MemoryLog
from infra.kafka.topics import COMPACTED, HEARD_TOPIC, configs
from infra.messages import Begun
from infra.ops.keeping import of_itself
from infra.ops.positions import tells_of_a_beginning
from infra.settings import DAY_MS, Settings
from infra.testing.disk import MemoryDisk, ProcessDisk, at_once
from infra.wire.limits import MAX_BATCH_BYTES
from infra.wire.record import Read
from infra.write.heard import Heard, Listener
from infra.write.owner import Owner
from infra.write.state import Budget
from tests.counter.mesh import mesh
from tests.infra.counter_log import CODEC, CONTEXT, NOW, add, carry, commands, decide_all, fresh, landed

PLACE = (CONTEXT.events_topic, 0)
IDS = {CONTEXT.events_topic: "e", CONTEXT.own_topic: "o"}
KAFKAS_LIMIT = 1_048_588  # of a topic that has none of its own


def heard() -> Heard:
    return Heard(Listener("counter", "o", IDS))


def test_what_was_not_written_is_written_with_the_next() -> None:
    positions = heard()
    positions.note(PLACE, 5)
    first = positions.unsaved()
    positions.not_saved()
    assert positions.unsaved() == first
    assert positions.unsaved() == []


def test_what_was_heard_meanwhile_stays() -> None:
    positions = heard()
    positions.note(PLACE, 5)
    positions.unsaved()
    positions.note(PLACE, 7)
    positions.not_saved()
    assert positions.unsaved() == [Listener("counter", "o", IDS).record(PLACE, 7)]


async def test_an_owner_whose_positions_are_refused_writes_them_later() -> None:
    kafka = MemoryKafka(1, lambda: 1000, lambda topic: True)

    class Refusing(MemoryLog):
        refuses = True

        async def send(self, topic: str, records: Any) -> None:
            if self.refuses:
                raise Unknown("away")
            await super().send(topic, records)

    async def nothing() -> list[Any]:
        return []

    sink = Refusing(kafka, CONTEXT.events_topic)
    disk = ProcessDisk(MemoryDisk(), at_once, Random(1))

    async def nothing_reread(place: Any) -> None: ...

    topics = MemoryCommandTopics(kafka)
    owner = Owner(
        mesh, CONTEXT, 1, DAY_MS, sink, sink, pytest.fail, IDS, nothing, topics, nothing_reread, disk, Budget()
    )
    owner._heard.note(PLACE, 5)
    await owner._save_positions()
    sink.refuses = False
    await owner._save_positions()
    assert [r.key for r in kafka.log(HEARD_TOPIC, 0)] == [b"o/e/0"]


def begun(number: int) -> Read:
    record = of_itself(CODEC, Begun(places=("e/0/7",)), CONTEXT, (CONTEXT.events_topic, number), 0, NOW)
    return landed([record], 0)[0]._replace(partition=number)


def test_a_log_tells_that_its_policy_has_begun() -> None:
    asked = landed(decide_all(fresh(), commands((add(1), "a"))).records, 0)
    reacted = landed(decide_all(fresh(), [carry(1, b"t/0/7/0", 0)]).records, 0)
    void = [reacted[0]._replace(offset=5)]
    assert not tells_of_a_beginning(CODEC, [], 1)
    assert not tells_of_a_beginning(CODEC, asked + void, 1)
    assert tells_of_a_beginning(CODEC, asked + reacted, 1)


def test_a_log_tells_where_its_policy_began_if_all_of_it_does() -> None:
    assert not tells_of_a_beginning(CODEC, [begun(0)], 2), "who was interrupted has to do it again"
    assert tells_of_a_beginning(CODEC, [begun(0), begun(1)], 2)


@pytest.mark.parametrize("config", [COMPACTED, *configs(CONTEXT, Settings()).values()])
def test_every_topic_takes_what_is_sent_together(config: dict[str, str]) -> None:
    assert int(config.get("max.message.bytes", KAFKAS_LIMIT)) >= MAX_BATCH_BYTES + 1000
