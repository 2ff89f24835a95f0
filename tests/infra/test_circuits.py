"""Circuit breaker: five failures open a circuit, one attempt tries it, and strangers' hosts take no memory without end."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from infra.testing.loop import VirtualLoop, run
from infra.wire.record import Read
from infra.write.circuits import FAILURES, MOST, OPEN_S, Circuit, Circuits, circuit_record, current

Heard = list[tuple[str, str]]


def in_virtual_time(work: Coroutine[Any, Any, None]) -> None:
    run(VirtualLoop(), work)


def circuits() -> tuple[Circuits, Heard]:
    heard: Heard = []
    return Circuits(lambda c: heard.append((c.target, c.state))), heard


def fail(made: Circuits, target: str, times: int = FAILURES) -> None:
    for _ in range(times):
        made.begin(target)
        made.failed(target)


def test_five_failures_in_a_row_open_the_circuit_and_others_wait() -> None:
    async def main() -> None:
        made, heard = circuits()
        fail(made, "gateway", FAILURES - 1)
        assert made.wait("gateway") == 0
        fail(made, "gateway", 1)
        assert heard == [("gateway", "opened")]
        assert (made.wait("gateway") or 0) >= OPEN_S
        assert made.wait("mail") == 0

    in_virtual_time(main())


def test_an_answer_in_between_begins_to_count_anew() -> None:
    async def main() -> None:
        made, heard = circuits()
        fail(made, "gateway", FAILURES - 1)
        made.answered("gateway")
        fail(made, "gateway", FAILURES - 1)
        assert heard == []

    in_virtual_time(main())


def test_one_attempt_alone_tries_a_circuit_and_closes_it_for_all() -> None:
    async def main() -> None:
        made, heard = circuits()
        fail(made, "gateway")
        await asyncio.sleep(OPEN_S + 1)
        made.begin("gateway")
        assert made.wait("gateway") is None
        assert made.answered("gateway")
        assert made.wait("gateway") == 0
        assert [state for _, state in heard] == ["opened", "half-opened", "closed"]

    in_virtual_time(main())


def test_an_attempt_that_fails_opens_it_again() -> None:
    async def main() -> None:
        made, heard = circuits()
        fail(made, "gateway")
        await asyncio.sleep(OPEN_S + 1)
        fail(made, "gateway", 1)
        assert (made.wait("gateway") or 0) >= OPEN_S
        assert [state for _, state in heard] == ["opened", "half-opened", "opened"]

    in_virtual_time(main())


def test_who_lets_go_is_no_failure_and_the_next_one_tries() -> None:
    async def main() -> None:
        made, heard = circuits()
        for _ in range(FAILURES):
            made.begin("gateway")
            made.let_go("gateway")
        assert heard == []
        fail(made, "gateway")
        await asyncio.sleep(OPEN_S + 1)
        made.begin("gateway")
        made.let_go("gateway")
        assert made.wait("gateway") == 0

    in_virtual_time(main())


def test_a_million_hosts_that_fail_take_no_more_memory_than_a_thousand() -> None:
    async def main() -> None:
        made, _ = circuits()
        for number in range(10 * MOST):
            fail(made, f"host-{number}", 1)
        assert len(made) == MOST

    in_virtual_time(main())


def test_a_target_that_answers_takes_none() -> None:
    async def main() -> None:
        made, _ = circuits()
        fail(made, "gateway")
        made.answered("gateway")
        assert len(made) == 0

    in_virtual_time(main())


def read(circuit: Circuit) -> Read:
    record = circuit_record("payments", circuit)
    return Read("weft.circuits", 0, 0, 0, record.key, record.value, ())


@pytest.mark.parametrize(
    "value", [None, b"", b"{", b"5", b"[" * 100_000, b'{"state": 5}', b'{"state": "opened"}', b"\xff"]
)
def test_what_is_no_circuit_is_not_shown_and_hides_none(value: bytes | None) -> None:
    records = [read(Circuit("gateway", "opened", 1000.0)), Read("weft.circuits", 0, 1, 0, b"junk", value, ())]
    assert [c["target"] for c in current(records, 1001.0)] == ["gateway"]


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
