"""Deadlines: fired when their moment has come, by the counter's own clock, and never for what no longer stands."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from infra.errors import Unknown
from infra.messages import Due
from infra.wire.envelope import CAUSE_TIME, ID
from infra.wire.record import Outgoing
from infra.write.intents import Intent
from infra.write.timers import AT_ONCE, Timers
from tests.counter.commands.counter import Empty
from tests.counter.mesh import mesh

NOW_MS = 1_700_000_000_000


class Sink:
    """Keeps what was posted; the first `failures` attempts are lost."""

    def __init__(self, failures: int = 0) -> None:
        self.posted: list[Outgoing] = []
        self._failures = failures

    async def send(self, topic: str, records: Iterable[tuple[int, Outgoing]]) -> None:
        if self._failures:
            self._failures -= 1
            raise Unknown("no answer")
        self.posted += [record for _, record in records]


def intent(number: int, after_s: int, at: int = NOW_MS) -> Intent:
    due = Due(after_s, Empty(counter_id=f"c{number}", filling=0))
    return Intent(f"counter.events/0/{number}", 0, b"c%d\0due" % number, due, "c", at)


def timers(sink: Any, clock: list[float], stands: Any = lambda intent: True) -> Timers:
    return Timers(mesh.codec, sink, "counter.commands", 4, stands, lambda: clock[0])


def test_nothing_fires_before_its_moment() -> None:
    clock = [NOW_MS / 1000]
    found = timers(Sink(), clock)
    found.set([intent(1, 900)])
    clock[0] += 899.999
    assert found.take() == []
    clock[0] += 0.001
    assert [i.key for i in found.take()] == ["counter.events/0/1"]


def test_the_soonest_fires_first_whatever_order_they_were_set_in() -> None:
    found = timers(Sink(), [NOW_MS / 1000 + 10_000])
    found.set([intent(1, 30), intent(2, 10)])
    found.set([intent(3, 20)])
    assert [i.key[-1] for i in found.take()] == ["2", "3", "1"]


def test_what_no_longer_stands_does_not_fire() -> None:
    found = timers(Sink(), [NOW_MS / 1000 + 10], stands=lambda intent: intent.key.endswith("2"))
    found.set([intent(1, 1), intent(2, 1)])
    assert [i.key[-1] for i in found.take()] == ["2"]
    assert len(found) == 0


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_deadline_is_posted_under_an_id_of_its_own_and_not_before_its_moment() -> None:
    sink = Sink(failures=1)
    found = timers(sink, [NOW_MS / 1000 + 60])
    running = asyncio.create_task(found.run())
    found.set([intent(1, 5)])
    await until(lambda: sink.posted)
    running.cancel()
    headers = dict(sink.posted[0].headers)
    assert headers[ID] == b"counter.events/0/1/due"
    assert headers[CAUSE_TIME] == b"%d" % (NOW_MS + 5000)


async def test_a_sooner_deadline_does_not_wait_for_a_later_one() -> None:
    sink, begun = Sink(), time.time()
    found = Timers(mesh.codec, sink, "counter.commands", 4, lambda intent: True)
    running = asyncio.create_task(found.run())
    found.set([intent(1, 3600, int(begun * 1000))])
    await asyncio.sleep(0)
    found.set([intent(2, 0, int(begun * 1000) + 200)])
    await until(lambda: sink.posted)
    running.cancel()
    assert 0.2 <= time.time() - begun < 1.2


def test_a_million_deadlines_are_no_trouble() -> None:
    clock = [NOW_MS / 1000]
    found = timers(Sink(), clock)
    many = [intent(0, 900, NOW_MS + (i * 7919) % 1_000_000) for i in range(1_000_000)]
    begun = time.process_time()
    found.set(many)
    clock[0] += 901
    fired = found.take()
    assert len(fired) == AT_ONCE
    assert time.process_time() - begun < 20  # about 2 s; a timer a task would need minutes and gigabytes
