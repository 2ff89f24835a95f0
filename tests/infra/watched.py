"""An owner of one partition on a broker whose command topics lose something."""

import asyncio
from random import Random
from typing import Any

import pytest

from infra.kafka.inbound import Loss
from infra.kafka.memory import MemoryCommandTopics, MemoryKafka, MemoryLog
from infra.messages import Resumed
from infra.settings import DAY_MS
from infra.testing.disk import MemoryDisk, ProcessDisk, at_once
from infra.wire.envelope import Way
from infra.wire.inbound import resumption
from infra.wire.record import Read
from infra.write.lanes import Delivery
from infra.write.owner import Owner
from infra.write.reactions import outgoing_command
from infra.write.state import Budget
from tests.counter.mesh import mesh
from tests.infra.counter_log import CODEC, CONTEXT, NOW, add

COMMANDS = (CONTEXT.commands_topic, 0)
OWN = (CONTEXT.own_topic, 0)
EVENTS = (CONTEXT.events_topic, 0)


class Process:
    """An owner of one partition, and what it was told to read again."""

    def __init__(self, kafka: MemoryKafka) -> None:
        self.kafka = kafka
        self.reread: list[tuple[str, int]] = []
        log, topics = MemoryLog(kafka, CONTEXT.events_topic), MemoryCommandTopics(kafka)
        ids = {topic: kafka.topic_id(topic) for topic in (CONTEXT.own_topic, CONTEXT.events_topic)}
        disk = ProcessDisk(MemoryDisk(), at_once, Random(1))
        self.owner = Owner(
            mesh, CONTEXT, 1, DAY_MS, log, log, pytest.fail, ids, _nothing, topics, self._reread, disk, Budget()
        )

    async def _reread(self, place: tuple[str, int]) -> None:
        self.reread.append(place)

    async def begin(self) -> "Process":
        await self.owner.assigned([0])
        return self

    async def read(self) -> None:
        """All that there is from the position on, in one batch."""
        start = self.owner.position(COMMANDS) or 0
        if records := self.kafka.log(*COMMANDS)[start:]:
            self.owner.lanes.put(COMMANDS, Delivery(records, lambda: True, lambda: None))
        await asyncio.sleep(0.01)

    async def look(self) -> None:
        await self.owner.writers[0].catch_up(len(self.kafka.log(*EVENTS)))
        await self.owner.watch.look()

    @property
    def standing(self) -> dict[Any, Loss]:
        return {place: wrong.loss for place, wrong in self.owner.watch.standing.items()}

    @property
    def decided(self) -> set[bytes]:
        return set(self.owner.writers[0].aggregates.states)


async def _nothing() -> list[Read]:
    return []


def broker() -> MemoryKafka:
    return MemoryKafka(1, lambda: NOW, lambda topic: topic.startswith("counter.events"))


def post(kafka: MemoryKafka, *numbers: int, prefix: str = "add") -> None:
    for number in numbers:
        kafka.append(*COMMANDS, [outgoing_command(CODEC, add(number), f"{prefix}-{number}")])


def accept(kafka: MemoryKafka, cursor: int) -> None:
    log = kafka.log(*EVENTS)
    event = Resumed(topic_id=kafka.topic_id(COMMANDS[0]), cursor=cursor, reason="accepted")
    kafka.append(*EVENTS, [resumption(CODEC, CONTEXT.name, EVENTS, Way.COMMANDS, event, len(log), NOW)])


async def at_work(*numbers: int) -> tuple[MemoryKafka, Process]:
    kafka = broker()
    process = await Process(kafka).begin()
    post(kafka, *numbers)
    await process.read()
    await process.look()
    assert len(process.decided) == len(numbers) and not process.standing
    return kafka, process
