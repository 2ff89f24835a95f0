"""What a context has begun is finished before it grows: reactions and own commands of several partitions and topics wait."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.kafka import reading
from infra.kafka.memory import MemoryKafka, MemoryLog, Place
from infra.kafka.topics import HEARD_TOPIC
from infra.ops import finish as finishing
from infra.ops.growth import Target, seal
from infra.settings import Settings
from infra.shop.mesh import mesh
from infra.wire.envelope import CAUSATION, EXPECTED_OFFSET, ID, Way, way_of
from infra.wire.record import Outgoing, Read, with_header
from infra.write.heard import Listener, positions
from infra.write.reactions import commands_from
from tests.shop.story import a_shop, story

ORDERS = mesh.context("orders")
HEARD = mesh.heard_topics(ORDERS)
WHO = Listener("orders", ORDERS.own_topic, {topic: topic for topic in (ORDERS.own_topic, *HEARD)})


class Reading:
    """What is read of Kafka in memory: batches are of any partitions and topics, as a consumer has them."""

    by_place = staticmethod(reading.by_place)

    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka

    def partitions_of(self, client: Any, topics: Sequence[str]) -> list[Place]:
        return [(topic, n) for topic in topics for n in range(self._kafka.partitions)]

    def topic_ids(self, servers: str, topics: Sequence[str]) -> dict[str, str]:
        return {topic: topic for topic in topics}

    def bounds(self, client: Any, place: Place) -> tuple[int, int]:
        return 0, len(self._kafka.log(*place))

    def ends(self, client: Any, places: Sequence[Place]) -> dict[Place, int]:
        return {place: len(self._kafka.log(*place)) for place in places}

    def read_all(self, client: Any, start: Mapping[Place, int], end: Mapping[Place, int]) -> Iterator[list[Read]]:
        left = [self._kafka.log(*place)[start.get(place, 0) : end[place]] for place in end]
        while any(left):
            yield [record for records in left for record in records[:2]]
            left = [records[2:] for records in left]


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> MemoryKafka:
    """Orders that were placed, while nobody heard what products and payments said of them."""
    world = a_shop(1)
    world.play(story)
    kafka = MemoryKafka(world.kafka.partitions, lambda: 2_000_000_000_000, lambda topic: topic.endswith(".events"))
    for topic in (*HEARD, ORDERS.commands_topic):
        for number in range(kafka.partitions):
            kafka.topics[topic, number] = list(world.kafka.log(topic, number))

    @asynccontextmanager
    async def connected(*_: Any) -> AsyncIterator[tuple[MemoryLog, None]]:
        yield MemoryLog(kafka, ORDERS.events_topic), None

    monkeypatch.setattr(finishing, "reading", Reading(kafka))
    monkeypatch.setattr(finishing, "topics", SimpleNamespace(heard_positions=lambda _: kafka.log(HEARD_TOPIC, 0)))
    monkeypatch.setattr(finishing, "listener", lambda *_: WHO)
    monkeypatch.setattr(finishing, "connected", connected)
    monkeypatch.setattr(finishing, "address", lambda *_: "")
    monkeypatch.setattr(finishing, "gauging", lambda _: nullcontext())
    monkeypatch.setattr(finishing, "troubles", lambda *_: {})
    monkeypatch.setattr(finishing, "KafkaEventLog", lambda topic, *_: MemoryLog(kafka, topic))
    return kafka


def settings(home: Path, kafka: MemoryKafka) -> Settings:
    return Settings(home=home, partitions=kafka.partitions)


def wanted(kafka: MemoryKafka) -> Counter[bytes]:
    """The ids of what is asked because of all there is to be heard."""
    logs = [kafka.log(topic, n) for topic in HEARD for n in range(kafka.partitions)]
    return Counter(
        dict(c.headers)[ID] or b"" for log in logs if log for c in commands_from(ORDERS, mesh.codec, log, log[0].topic)
    )


def answered(kafka: MemoryKafka) -> Counter[bytes]:
    """The ids of own commands, as often as each was decided."""
    found = {
        (dict(r.headers)[CAUSATION], dict(r.headers)["weft-own-offset"])
        for n in range(kafka.partitions)
        for r in kafka.log(ORDERS.events_topic, n)
        if way_of(dict(r.headers)) is Way.OWN
    }
    return Counter(identity or b"" for identity, _ in found)


async def test_all_that_is_to_be_heard_is_heard_and_decided(kafka: MemoryKafka, tmp_path: Path) -> None:
    # given orders, and reactions to one of the topics that were asked and not decided
    s = settings(tmp_path, kafka)
    log = MemoryLog(kafka, ORDERS.events_topic)
    writers = await finishing._writers(s, mesh, ORDERS, log, log)  # type: ignore[arg-type]
    for number, writer in writers.items():
        await writer.handle(kafka.log(ORDERS.commands_topic, number))
        await writer.close()
    ends = {(HEARD[0], n): len(kafka.log(HEARD[0], n)) for n in range(kafka.partitions)}
    assert await finishing.hear(s, mesh, None, log, ORDERS, ends) > 1  # type: ignore[arg-type]
    kafka.log(HEARD_TOPIC, 0).clear()
    # when the context is finished
    await finishing.finish(s, mesh, None, ORDERS)  # type: ignore[arg-type]
    # then each reaction has one answer, and everything counts as heard
    asked = wanted(kafka)
    assert len({where for where, log in kafka.topics.items() if where[0] in HEARD and log}) > 2
    assert answered(kafka) == asked
    known = positions(kafka.log(HEARD_TOPIC, 0))
    assert {key: end for key, end in known.items() if end} == {
        WHO.key((topic, n)): len(kafka.log(topic, n))
        for topic in HEARD
        for n in range(kafka.partitions)
        if kafka.log(topic, n)
    }


async def test_what_is_not_sealed_is_finished_and_what_is_sealed_is_left(kafka: MemoryKafka, tmp_path: Path) -> None:
    # given a growth that was interrupted when one partition was sealed
    target = Target(ORDERS, "orders.events.2", 5)
    kafka.append(ORDERS.events_topic, 0, [seal(mesh.codec, target, (ORDERS.events_topic, 0), 0, 5)])
    # when it is run again
    await finishing.finish(settings(tmp_path, kafka), mesh, None, ORDERS)  # type: ignore[arg-type]
    # then the other partitions have decided all they were asked, and it has decided nothing
    assert len(kafka.log(ORDERS.events_topic, 0)) == 1
    others = [r for n in range(1, kafka.partitions) for r in kafka.log(ORDERS.own_topic, n)]
    assert others and answered(kafka) == Counter(dict(r.headers)[ID] or b"" for r in others)


class Talkative(Reading):
    """Whoever looks for the end of what others say, hears one more thing said."""

    def ends(self, client: Any, places: Sequence[Place]) -> dict[Place, int]:
        ends = super().ends(client, places)
        for topic, number in places:
            if topic != ORDERS.events_topic:
                self._say_again(topic, number)
        return ends

    def _say_again(self, topic: str, number: int) -> None:
        log = self._kafka.log(topic, number)
        for record in log:
            if list(commands_from(ORDERS, mesh.codec, [record], topic)):
                headers = with_header(record.headers, EXPECTED_OFFSET, b"%d" % len(log))
                self._kafka.append(topic, number, [Outgoing(record.key, record.value, headers)])
                return


async def test_it_ends_while_others_go_on_speaking(
    kafka: MemoryKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "reading", Talkative(kafka))
    async with asyncio.timeout(20):
        await finishing.finish(settings(tmp_path, kafka), mesh, None, ORDERS)  # type: ignore[arg-type]
    assert wanted(kafka)
