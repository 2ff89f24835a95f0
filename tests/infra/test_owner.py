"""An owner that stops, and one whose partition goes to somebody else, on a real disk."""

import asyncio
from pathlib import Path

import pytest

from infra.kafka.memory import MemoryCommandTopics, MemoryKafka, MemoryLog
from infra.settings import DAY_MS
from infra.wire.record import Read, with_header
from infra.write.owner import Owner
from infra.write.reactions import outgoing_command
from infra.write.state import Budget
from infra.write.store import RocksDisk
from tests.counter.commands.counter import Add
from tests.counter.mesh import mesh
from tests.infra.counter_log import add, commands, decide, fresh, landed

CONTEXT = mesh.context("counter")
TOPIC_IDS = {topic: f"id of {topic}" for topic in (CONTEXT.own_topic, CONTEXT.events_topic)}


async def nothing_heard() -> list[Read]:
    return []


async def nothing_reread(place: tuple[str, int]) -> None: ...


def owner(kafka: MemoryKafka, home: Path, budget: float = float("inf")) -> Owner:
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
        RocksDisk(home, 8),
        Budget(budget),
    )


def adds(kafka: MemoryKafka, count: int) -> list[Read]:
    topic = CONTEXT.commands_topic
    start = len(kafka.log(topic, 0))
    for number in range(start, start + count):
        command = Add(counter_id=f"c{number}", amount=1)
        kafka.append(topic, 0, [outgoing_command(mesh.codec, command, f"add-{number}")])
    return kafka.log(topic, 0)[start:]


def kafka() -> MemoryKafka:
    return MemoryKafka(1, lambda: 1000, lambda topic: True)


@pytest.mark.parametrize("budget", [float("inf"), 0])
async def test_whoever_starts_again_goes_on_where_it_stopped(budget: float, tmp_path: Path) -> None:
    # given an owner that is stopped with a clean word
    broker = kafka()
    first = owner(broker, tmp_path, budget)
    await first.assigned([0])
    await first.writers[0].handle(adds(broker, 1000))
    await first.stop()
    # when it starts again
    length = len(broker.log(CONTEXT.events_topic, 0))
    second = owner(broker, tmp_path, budget)
    await second.assigned([0])
    # then it is at the end, and knows what was decided
    assert second.writers[0].aggregates.next_offset == length
    again = [record._replace(offset=record.offset + 1000) for record in broker.log(CONTEXT.commands_topic, 0)]
    await second.writers[0].handle(again)
    assert len(broker.log(CONTEXT.events_topic, 0)) == length
    await second.stop()


async def test_a_partition_that_goes_is_free_for_whoever_has_it_next(tmp_path: Path) -> None:
    broker = kafka()
    first, second = owner(broker, tmp_path), owner(broker, tmp_path)
    await first.assigned([0])
    await first.writers[0].handle(adds(broker, 10))
    await first.assigned([])
    await second.assigned([0])
    assert sorted(path.name for path in (tmp_path / "counter").iterdir() if path.is_dir()) == ["0"]
    assert second.writers[0].aggregates.next_offset == len(broker.log(CONTEXT.events_topic, 0))
    await first.stop()
    await second.stop()


async def test_an_owner_stops_though_much_has_to_be_written_at_that_moment(tmp_path: Path) -> None:
    # given an owner at work
    broker = kafka()
    owned = owner(broker, tmp_path)
    await owned.assigned([0])
    running = asyncio.create_task(owned.run())
    await asyncio.sleep(0.01)
    # when it is stopped just as so much has changed that it is to be written
    while not owned.writers[0].state.is_much:
        await owned.writers[0].handle(adds(broker, 500))
    running.cancel()
    # then it ends
    await asyncio.wait([running], timeout=5)
    assert running.done()
    await owned.stop()


async def test_a_policy_stands_still_at_what_it_does_not_know_and_ends_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an owner that hears, behind a record of newer code, what it reacts to
    kafka_, (added, filled) = kafka(), landed(decide(fresh(), commands((add(1, 3), "a"))).records, 0)
    newer = added._replace(value=b"\0\x00\xff\xff\xff", headers=with_header(added.headers, "ce_type", b"counter.Newer"))
    own = owner(kafka_, tmp_path)
    monkeypatch.setattr("infra.write.owner.NEWER_SECONDS", 0.01)
    # when it reacts
    reacting = asyncio.create_task(own._react([newer, filled]))
    await asyncio.sleep(0.05)
    # then it asks nothing and goes on waiting
    assert (reacting.done(), kafka_.log(CONTEXT.own_topic, 0)) == (False, [])
    reacting.cancel()
