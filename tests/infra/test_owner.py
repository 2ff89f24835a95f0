"""An owner that stops while a snapshot is taken, and one whose partition goes to somebody else meanwhile."""

import asyncio
from pathlib import Path

import pytest

from infra.kafka.memory import MemoryCommandTopics, MemoryKafka, MemoryLog
from infra.settings import DAY_MS
from infra.wire.record import Read
from infra.write.owner import Owner
from infra.write.reactions import outgoing_command
from tests.counter.commands.counter import Add
from tests.counter.mesh import mesh

CONTEXT = mesh.context("counter")
MANY = 1000
TOPIC_IDS = {topic: f"id of {topic}" for topic in (CONTEXT.own_topic, CONTEXT.events_topic)}


async def nothing_heard() -> list[Read]:
    return []


async def nothing_reread(place: tuple[str, int]) -> None: ...


def owner(kafka: MemoryKafka, home: Path) -> Owner:
    log = MemoryLog(kafka, CONTEXT.events_topic)
    return Owner(
        mesh,
        CONTEXT,
        1,
        DAY_MS,
        log,
        log,
        pytest.fail,
        TOPIC_IDS,
        nothing_heard,
        MemoryCommandTopics(kafka),
        nothing_reread,
        snapshots=home,
    )


def adds(kafka: MemoryKafka, count: int) -> list[Read]:
    topic = CONTEXT.commands_topic
    start = len(kafka.log(topic, 0))
    for number in range(start, start + count):
        command = Add(counter_id=f"c{number}", amount=1)
        kafka.append(topic, 0, [outgoing_command(mesh.codec, command, f"add-{number}")])
    return kafka.log(topic, 0)[start:]


async def test_a_stop_while_a_snapshot_is_taken_leaves_nothing_out(tmp_path: Path) -> None:
    kafka = MemoryKafka(1, lambda: 1000, lambda topic: True)
    first = owner(kafka, tmp_path)
    await first.assigned([0])
    await first.writers[0].handle(adds(kafka, MANY))
    # given a snapshot that is being taken, and more that is decided meanwhile
    saving = asyncio.create_task(first._save())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await first.writers[0].handle(adds(kafka, 10))
    # when the process is told to end
    saving.cancel()
    await first.stop()
    # then who goes on from the snapshot has what the log says
    second = owner(kafka, tmp_path)
    await second.assigned([0])
    states = second.writers[0].aggregates
    states.thaw(list(states.cold))
    assert len(states.states) == MANY + 10
    await second.stop()
