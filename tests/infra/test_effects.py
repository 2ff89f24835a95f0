"""What states want of the outside: performed until there is an outcome, then posted; whatever an adapter does ends nothing else."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
import structlog

from infra.errors import Undeliverable, Unknown
from infra.model.context import Attempt
from infra.testing.loop import VirtualLoop, run
from infra.wire.envelope import ID, OUTCOME_OF
from infra.wire.record import Outgoing
from infra.write import effects
from infra.write.circuits import FAILURES, OPEN_S
from infra.write.effects import AT_ONCE, ATTEMPT_TIMEOUT_S, LATE_S, LONGEST_PAUSE_S, EffectRunner
from infra.write.intents import PENDING, Intent
from infra.write.tries import MAX_AGE_S
from tests.counter.commands.counter import Carry, RecordRing
from tests.counter.streams.counter.decider import Ring
from tests.infra.counter_log import CODEC, CONTEXT, NOW

DAY_S = 24 * 3600.0
PATIENCE_S = 3600.0


class Outside:
    """A runner with a twin of everything around it. `ring` answers; time is virtual, and begins when intents are opened."""

    def __init__(self, ring: Callable[[Ring, Attempt], Awaitable[Any]]) -> None:
        self.begun = asyncio.get_running_loop().time()
        self.asked: list[tuple[str, Attempt]] = []
        self.posted: list[Outgoing] = []
        self.done: list[str] = []
        self.failures: list[BaseException] = []
        self.circuits: list[tuple[str, str]] = []
        self.answered: set[str] = set()  # by somebody else
        self.away: list[Exception] = []  # what the next posts raise
        self._ring = ring
        self.runner = EffectRunner(
            CONTEXT,
            CODEC,
            self._perform,
            self,
            1,
            "topic-id",
            self.failures.append,
            lambda intent: self.done.append(intent.key),
            lambda circuit: self.circuits.append((circuit.target, circuit.state)),
            self._is_open,
            self.now,
        )

    def now(self) -> float:
        return NOW / 1000 + asyncio.get_running_loop().time() - self.begun

    async def _perform(self, intent: Ring, attempt: Attempt) -> Any:
        self.asked.append((intent.counter_id, attempt))
        return await self._ring(intent, attempt)

    async def _is_open(self, intent: Intent) -> bool:
        return intent.key not in self.answered

    async def send(self, topic: str, records: Iterable[tuple[int, Outgoing]]) -> None:
        if self.away:
            raise self.away.pop(0)
        self.posted += [record for _, record in records]

    def rang(self, counter: str) -> int:
        """How often the bell of a counter was asked to ring."""
        return sum(asked == counter for asked, _ in self.asked)

    @property
    def told(self) -> list[str]:
        """Whose outcomes were posted."""
        return [(record.key or b"").decode() for record in self.posted]


def wish(number: int, partition: int = 0, age_s: float = 0.0) -> Intent:
    at = NOW - int(age_s * 1000)
    return Intent(f"counter.events/0/{number}", partition, b"c%d" % number + PENDING, Ring(f"c{number}"), "r", at)


async def rings(intent: Ring, attempt: Attempt) -> RecordRing:
    return RecordRing(counter_id=intent.counter_id)


async def never(intent: Ring, attempt: Attempt) -> RecordRing:
    await asyncio.Event().wait()
    raise AssertionError


def story(main: Callable[[], Awaitable[None]]) -> None:
    async def play() -> None:
        await main()

    run(VirtualLoop(), play())


def raising(*errors: BaseException) -> Callable[[Ring, Attempt], Awaitable[RecordRing]]:
    """A bell that fails so often, in turn, and rings then."""
    left = list(errors)

    async def ring(intent: Ring, attempt: Attempt) -> RecordRing:
        if left:
            raise left.pop(0)
        return await rings(intent, attempt)

    return ring


# -- whatever an adapter does is an attempt of one intent


UNPLANNED = [
    TypeError("NoneType"),
    KeyError("outcome"),
    RecursionError(),
    ZeroDivisionError(),
    MemoryError(),
    Undeliverable(),
]


ALSO = [ExceptionGroup("several", [ValueError()]), asyncio.CancelledError(), SystemExit(1)]


@pytest.mark.parametrize("error", [*UNPLANNED, *ALSO])
def test_an_error_nobody_planned_for_is_a_failed_attempt_and_ends_nothing(error: BaseException) -> None:
    async def main() -> None:
        world = Outside(raising(error))
        world.runner.start([wish(1)])
        await asyncio.sleep(PATIENCE_S)
        assert (world.rang("c1"), world.told, world.failures) == (2, ["c1"], [])

    story(main)


@pytest.mark.parametrize("outcome", [None, 5, "rung", RecordRing(counter_id="c2"), Carry(counter_id="c1+"), ["x"]])
def test_an_outcome_that_is_not_for_who_wanted_it_is_not_posted_and_asked_for_again(outcome: Any) -> None:
    async def main() -> None:
        answers = [outcome]

        async def ring(intent: Ring, attempt: Attempt) -> Any:
            return answers.pop() if answers else await rings(intent, attempt)

        world = Outside(ring)
        world.runner.start([wish(1)])
        await asyncio.sleep(PATIENCE_S)
        assert (world.told, world.failures) == (["c1"], [])

    story(main)


def test_an_outcome_that_cannot_be_written_or_is_too_large_is_not_posted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(effects, "MAX_POSTED_BYTES", 10)
        world = Outside(rings)
        world.runner.start([wish(1)])
        await asyncio.sleep(PATIENCE_S)
        assert (world.told, world.failures) == ([], [])
        assert world.rang("c1") > 1

    story(main)


def test_what_fails_for_ever_is_tried_with_growing_pauses() -> None:
    async def main() -> None:
        world = Outside(raising(*[TypeError()] * 10_000))
        world.runner.start([wish(1)])
        await asyncio.sleep(3600)
        first = world.rang("c1")
        await asyncio.sleep(3600)
        assert first < 30
        assert 0 < world.rang("c1") - first <= 2 * 3600 / LONGEST_PAUSE_S

    story(main)


def test_a_program_that_fails_holds_up_nobody_else() -> None:
    async def main() -> None:
        async def ring(intent: Ring, attempt: Attempt) -> RecordRing:
            if intent.counter_id == "c0":
                raise TypeError("a bug for this one")
            return await rings(intent, attempt)

        world = Outside(ring)
        world.runner.start([wish(0)])
        await asyncio.sleep(60)
        assert world.rang("c0") > FAILURES
        # when others are wanted
        world.runner.start([wish(number) for number in range(1, 4)])
        await asyncio.sleep(0.01)
        # then they are done at once: a bug says nothing about the target
        assert (world.told, world.circuits) == (["c1", "c2", "c3"], [])

    story(main)


def test_an_adapter_that_never_ends_is_ended() -> None:
    async def main() -> None:
        world = Outside(never)
        world.runner.start([wish(1)])
        await asyncio.sleep(2.5 * ATTEMPT_TIMEOUT_S)
        assert world.rang("c1") == 3

    story(main)


def test_what_is_logged_of_an_error_names_nobody() -> None:
    async def main() -> None:
        world = Outside(raising(ValueError("ada@example.org"), ConnectionError("ada@example.org")))
        world.runner.start([wish(1)])
        with structlog.testing.capture_logs() as logs:
            await asyncio.sleep(10)
        assert {"ValueError", "ConnectionError"} <= {line.get("error") for line in logs}
        assert "ada" not in json.dumps(logs)

    story(main)


# -- two loops


@pytest.mark.parametrize("error", [Unknown("Kafka is away"), RuntimeError("a bug"), AssertionError()])
def test_an_outcome_that_cannot_be_posted_is_not_performed_again(error: Exception) -> None:
    async def main() -> None:
        world = Outside(rings)
        world.away = [error] * 20
        world.runner.start([wish(1)])
        await asyncio.sleep(PATIENCE_S)
        assert (world.rang("c1"), world.told, world.done) == (1, ["c1"], ["counter.events/0/1"])

    story(main)


def test_an_outcome_says_what_it_answers() -> None:
    async def main() -> None:
        world = Outside(rings)
        world.runner.start([wish(1)])
        await asyncio.sleep(1)
        headers = dict(world.posted[0].headers)
        assert (headers[OUTCOME_OF], headers[ID]) == (b"counter.events/0/1", b"counter.events/0/1/outcome")

    story(main)


# -- what an attempt is told


def test_each_attempt_has_the_same_key_which_begins_with_the_topics_id() -> None:
    async def main() -> None:
        world = Outside(raising(Unknown("away")))
        world.runner.start([wish(1, age_s=7200)])
        await asyncio.sleep(10)
        first, second = [attempt for _, attempt in world.asked]
        assert first.key == second.key == "topic-id/counter.events/0/1"
        assert (first.is_doubtful, second.is_doubtful) == (False, True)
        assert 7200 <= first.age_s < second.age_s < 7210

    story(main)


def test_what_was_opened_in_another_topic_keeps_the_key_it_had_there() -> None:
    async def main() -> None:
        world = Outside(rings)
        intent = wish(1)
        intent.topic_id = "older-id"
        world.runner.start([intent])
        await asyncio.sleep(1)
        assert world.asked[0][1].key == "older-id/counter.events/0/1"

    story(main)


# -- age


def test_what_is_too_old_is_parked_and_not_tried_by_itself() -> None:
    async def main() -> None:
        world = Outside(raising(*[Unknown("away")] * 100_000))
        world.runner.start([wish(1)])
        await asyncio.sleep(MAX_AGE_S + 2 * LONGEST_PAUSE_S)
        tried = world.rang("c1")
        assert (world.runner.parked[0], world.done) == (1, ["counter.events/0/1"])
        await asyncio.sleep(DAY_S)
        assert world.rang("c1") == tried > 1

    story(main)


def test_it_is_parked_after_a_restart_too() -> None:
    async def main() -> None:
        world = Outside(rings)
        world.runner.start([wish(1, age_s=MAX_AGE_S + 1), wish(2, age_s=MAX_AGE_S - 60)])
        await asyncio.sleep(1)
        assert (world.told, world.runner.parked[0]) == (["c2"], 1)

    story(main)


def test_what_is_old_is_parked_also_behind_a_circuit_that_is_open() -> None:
    async def main() -> None:
        world = Outside(raising(*[Unknown("away")] * FAILURES))
        world.runner.start([wish(number) for number in range(FAILURES)])
        await asyncio.sleep(1)
        world.runner.start([wish(99, age_s=MAX_AGE_S + 60)])
        await asyncio.sleep(OPEN_S + 5)
        assert (world.rang("c99"), world.runner.parked[0]) == (0, 1)

    story(main)


@pytest.mark.parametrize("which", ["", "counter.events/0/1"])
def test_what_somebody_wants_to_be_tried_again_is(which: str) -> None:
    async def main() -> None:
        world = Outside(rings)
        world.runner.asked_again = {which: NOW}
        world.runner.start([wish(1, age_s=30 * DAY_S)])
        await asyncio.sleep(1)
        assert world.told == ["c1"]

    story(main)


def test_what_was_answered_meanwhile_is_not_tried_again() -> None:
    async def main() -> None:
        world = Outside(raising(*[Unknown("away")] * 100))
        world.runner.start([wish(1)])
        await asyncio.sleep(1)
        world.answered.add("counter.events/0/1")
        tried = world.rang("c1")
        await asyncio.sleep(PATIENCE_S)
        assert (world.rang("c1"), world.done) == (tried, ["counter.events/0/1"])

    story(main)


# -- a queue for each target


def test_so_many_are_tried_at_once_and_the_others_are_no_tasks() -> None:
    async def main() -> None:
        world = Outside(never)
        before = len(asyncio.all_tasks())
        world.runner.start([wish(number) for number in range(20 * AT_ONCE)])
        await asyncio.sleep(1)
        assert len(world.asked) == AT_ONCE
        assert len(asyncio.all_tasks()) - before == AT_ONCE
        await world.runner.stop()
        assert len(world.done) == 20 * AT_ONCE

    story(main)


def test_what_is_wanted_is_tried_in_the_order_in_which_it_was() -> None:
    async def main() -> None:
        world = Outside(rings)
        world.runner.start([wish(number) for number in range(3 * AT_ONCE)])
        await asyncio.sleep(1)
        assert world.told == [f"c{number}" for number in range(3 * AT_ONCE)]

    story(main)


def test_a_circuit_that_opens_has_others_wait_and_one_that_closes_ends_their_pauses() -> None:
    async def main() -> None:
        is_away = [True]

        async def ring(intent: Ring, attempt: Attempt) -> RecordRing:
            if is_away[0]:
                raise Unknown("away")
            return await rings(intent, attempt)

        world = Outside(ring)
        world.runner.start([wish(number) for number in range(10)])
        await asyncio.sleep(1200)
        assert ("bell", "opened") in world.circuits
        # when it is back
        is_away[0] = False
        await asyncio.sleep(2 * OPEN_S + 2)
        # then all are done within two tries of the circuit, whatever pauses they have
        assert sorted(world.told) == [f"c{number}" for number in range(10)]
        assert world.circuits[-1] == ("bell", "closed")

    story(main)


def test_a_part_that_is_away_is_not_asked_and_the_target_goes_on() -> None:
    async def main() -> None:
        asked: list[str] = []

        async def ring(intent: Ring, attempt: Attempt) -> RecordRing:
            part = "near" if intent.counter_id.endswith("0") else "far"
            with attempt.through(part):
                asked.append(part)
                if part == "far":
                    raise ConnectionRefusedError("away")
                return await rings(intent, attempt)

        world = Outside(ring)
        world.runner.start([wish(number) for number in range(1, 10)])
        await asyncio.sleep(OPEN_S / 2)
        far = asked.count("far")
        world.runner.start([wish(number) for number in range(10, 100)])
        await asyncio.sleep(OPEN_S / 4)
        assert sorted(world.told) == sorted(f"c{number}" for number in range(10, 100, 10))
        assert asked.count("far") == far
        assert world.circuits == []  # nothing is said of the target, or of strangers' parts

    story(main)


def test_who_is_let_go_of_is_not_tried_any_more_and_others_are() -> None:
    async def main() -> None:
        is_away = [True]

        async def ring(intent: Ring, attempt: Attempt) -> RecordRing:
            if is_away[0]:
                raise KeyError
            return await rings(intent, attempt)

        world = Outside(ring)
        world.runner.start(
            [*(wish(n, partition=0) for n in range(50)), *(wish(n, partition=1) for n in range(50, 100))]
        )
        await asyncio.sleep(1)
        await world.runner.stop([0])
        is_away[0] = False
        await asyncio.sleep(PATIENCE_S)
        assert sorted(world.told) == [f"c{n}" for n in range(50, 100)]
        # and whoever has the partition next may begin them here again
        world.runner.start([wish(n) for n in range(50)])
        await asyncio.sleep(1)
        assert len(world.told) == 100

    story(main)


def test_an_attempt_that_was_let_go_of_before_it_began_leaves_a_circuit_to_the_next() -> None:
    async def main() -> None:
        world = Outside(raising(*[Unknown("away")] * FAILURES))
        world.runner.start([wish(number) for number in range(FAILURES)])
        await asyncio.sleep(0.01)
        await world.runner.stop()
        await asyncio.sleep(OPEN_S + 2)
        # given one that is to try the circuit, and is let go of at once
        world.runner.start([wish(10)])
        await world.runner.stop()
        # then the next one does
        world.runner.start([wish(11)])
        await asyncio.sleep(1)
        assert (world.rang("c10"), world.told) == (0, ["c11"])

    story(main)


def test_an_adapter_that_does_not_let_go_keeps_nobody_from_going_on() -> None:
    async def main() -> None:
        async def deaf(intent: Ring, attempt: Attempt) -> RecordRing:
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(50)
                    return await rings(intent, attempt)

        world = Outside(deaf)
        world.runner.start([wish(1)])
        await asyncio.sleep(1)
        begun = world.now()
        await world.runner.stop()
        assert world.now() - begun < 20

    story(main)


# -- what others wait for


def slow(seconds: float) -> Callable[[Ring, Attempt], Awaitable[RecordRing]]:
    async def ring(intent: Ring, attempt: Attempt) -> RecordRing:
        await asyncio.sleep(seconds)
        return await rings(intent, attempt)

    return ring


def test_what_waits_for_a_target_that_answers_fast_counts() -> None:
    async def main() -> None:
        world = Outside(slow(0.1))
        world.runner.start([wish(number) for number in range(AT_ONCE + 3)])
        await asyncio.sleep(0.01)
        assert world.runner.waiting == 3
        await asyncio.sleep(1)
        assert world.runner.waiting == 0

    story(main)


def test_what_waits_for_one_that_is_slow_or_hangs_does_not() -> None:
    async def main() -> None:
        world = Outside(slow(5))
        world.runner.start([wish(number) for number in range(10 * AT_ONCE)])
        await asyncio.sleep(LATE_S + 0.1)  # a place in the queue that does not move
        assert world.runner.waiting == 0
        await asyncio.sleep(30)
        world.runner.start([wish(1000)])
        assert world.runner.waiting == 0

    story(main)


def test_what_waits_for_one_that_is_away_does_not() -> None:
    async def main() -> None:
        world = Outside(raising(*[Unknown("away")] * 1000))
        world.runner.start([wish(number) for number in range(10 * AT_ONCE)])
        await asyncio.sleep(0.5)
        assert world.circuits == [("bell", "opened")]
        assert world.runner.waiting == 0

    story(main)
