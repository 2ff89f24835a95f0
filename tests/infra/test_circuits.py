"""Circuit breaker and bulkhead: five failures open a circuit, one attempt tries it, a target that hangs hangs alone."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any

import pytest

from infra.errors import Unknown
from infra.wire.record import Read
from infra.write.circuits import AT_ONCE, FAILURES, OPEN_S, Circuit, Circuits, circuit_record, current

OPEN = 0.3  # seconds, here


class Target:
    """Something outside that is there or not; counts who asks it."""

    def __init__(self) -> None:
        self.there = True
        self.asked = 0
        self.at_once = 0
        self.most = 0

    async def answer(self) -> str:
        self.asked += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(0.01)
        finally:
            self.at_once -= 1
        if not self.there:
            raise Unknown("away")
        return "yes"


def circuits() -> tuple[Circuits, list[tuple[str, str]]]:
    heard: list[tuple[str, str]] = []
    return Circuits(lambda c: heard.append((c.target, c.state)), open_s=OPEN), heard


async def fails(attempt: Awaitable[Any]) -> None:
    with pytest.raises(Unknown):
        await attempt


async def opened(made: Circuits, target: Target) -> None:
    target.there = False
    for _ in range(FAILURES):
        await fails(made.through("gateway", target.answer))


async def test_five_failures_in_a_row_open_the_circuit_and_others_wait() -> None:
    made, heard = circuits()
    target = Target()
    await opened(made, target)
    assert heard == [("gateway", "opened")]
    waiting = asyncio.create_task(made.through("gateway", target.answer))
    await asyncio.sleep(OPEN / 2)
    assert target.asked == FAILURES
    waiting.cancel()


async def test_an_answer_in_between_starts_the_count_anew() -> None:
    made, heard = circuits()
    target = Target()
    for there in (False, False, False, False, True, False, False, False, False):
        target.there = there
        await (made.through("gateway", target.answer) if there else fails(made.through("gateway", target.answer)))
    assert heard == []


async def test_one_attempt_alone_tries_a_circuit_and_closes_it_for_all() -> None:
    made, heard = circuits()
    target = Target()
    await opened(made, target)
    target.there, target.most = True, 0
    seen: list[int] = []

    async def first_alone() -> str:
        seen.append(target.at_once)
        return await target.answer()

    answers = await asyncio.gather(*(made.through("gateway", first_alone) for _ in range(20)))
    assert answers == ["yes"] * 20
    assert seen[0] == 0
    assert [state for _, state in heard] == ["opened", "half-opened", "closed"]


async def test_an_attempt_that_fails_opens_it_again() -> None:
    made, heard = circuits()
    target = Target()
    await opened(made, target)
    begun = time.monotonic()
    await fails(made.through("gateway", target.answer))
    assert time.monotonic() - begun >= OPEN
    assert [state for _, state in heard] == ["opened", "half-opened", "opened"]
    assert target.asked == FAILURES + 1


async def test_a_target_that_hangs_hangs_alone() -> None:
    made, _ = circuits()
    never = asyncio.Event()
    hanging = [asyncio.create_task(made.through("sms", never.wait)) for _ in range(2 * AT_ONCE)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(1):
        assert await made.through("email", Target().answer) == "yes"
    for task in hanging:
        task.cancel()


async def test_so_many_ask_a_target_at_once_and_no_more() -> None:
    made, _ = circuits()
    target = Target()
    await asyncio.gather(*(made.through("gateway", target.answer) for _ in range(3 * AT_ONCE)))
    assert target.most == AT_ONCE


async def test_who_lets_go_is_no_failure() -> None:
    made, heard = circuits()
    never = asyncio.Event()
    for _ in range(FAILURES):
        task = asyncio.create_task(made.through("gateway", never.wait))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert heard == []


def read(circuit: Circuit) -> Read:
    record = circuit_record("payments", circuit)
    return Read("weft.circuits", 0, 0, 0, record.key, record.value, ())


@pytest.mark.parametrize(
    ("history", "age", "shown"),
    [
        (["opened"], 1, ["opened"]),
        (["opened", "half-opened"], 1, ["half-opened"]),
        (["opened", "half-opened", "closed"], 1, []),
        (["opened"], 5 * OPEN_S, []),  # whoever it was is gone
    ],
)
def test_the_status_shows_what_is_not_closed_now(history: list[str], age: float, shown: list[str]) -> None:
    records = [read(Circuit("gateway", state, 1000.0)) for state in history]
    assert [c["state"] for c in current(records, 1000.0 + age)] == shown


async def test_who_waits_for_a_slot_of_a_target_that_is_there_counts() -> None:
    # given a target whose slots are all taken, and three more for it
    made, _ = circuits()
    never = asyncio.Event()
    hanging = [asyncio.create_task(made.through("sms", never.wait)) for _ in range(AT_ONCE + 3)]
    await asyncio.sleep(0.05)
    # then those three wait
    assert made.waiting == 3
    # and nobody, once they are gone
    for task in hanging:
        task.cancel()
    await asyncio.wait(hanging)
    assert made.waiting == 0


async def test_who_waits_for_a_target_that_is_away_does_not_count() -> None:
    made, _ = circuits()
    target = Target()
    await opened(made, target)
    waiting = asyncio.create_task(made.through("gateway", target.answer))
    await asyncio.sleep(0.01)
    assert made.waiting == 0
    waiting.cancel()
