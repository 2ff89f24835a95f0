"""What a state wants of the outside, or of the clock, is answered to its own aggregate: anything else is told at once."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from types import ModuleType
from typing import Any, cast

import pytest

from infra import Due
from infra.errors import Unusable
from infra.model.context import Context
from infra.testing.given import given
from infra.wire.record import Outgoing
from infra.write.circuits import Circuits
from infra.write.effects import EffectRunner
from infra.write.intents import PENDING, Intent
from tests.counter.commands.counter import Carry, CounterCommand, Empty, RecordRing
from tests.counter.streams.counter import decider
from tests.counter.streams.counter.decider import Counter, Ring
from tests.infra.counter_log import CODEC, CONTEXT, add, commands, decide, decide_all, events, fresh, landed, said


def due_elsewhere(counter_id: str, counter: Counter) -> Due | None:
    """A deadline that asks something of the next counter."""
    return Due(5, Carry(counter_id=f"{counter_id}+")) if counter.value else None


def asking_elsewhere() -> Context:
    return replace(CONTEXT, aggregates=(replace(CONTEXT.aggregates[0], due=due_elsewhere),))


def test_a_deadline_that_asks_another_aggregate_fails_and_says_so() -> None:
    (answer,) = events(decide(fresh(asking_elsewhere()), commands((add(1), "a"))))
    assert (answer.code, "Carry of c1+" in answer.reason) == ("failed", True)


def test_a_command_whose_deadline_was_nobodys_is_processed_once_that_is_mended() -> None:
    # given one that could not be processed for a deadline
    log = landed(decide(fresh(asking_elsewhere()), commands((add(1), "a"))).records, 0)
    # when the code is mended, and it is sent again
    aggregates = fresh()
    aggregates.fold(log)
    # then it counts
    assert said(decide(aggregates, commands((add(1), "a"), start=1))) == [("Added", "a")]


class Elsewhere:
    """The counter's decider, but for its deadline."""

    __name__ = "elsewhere"
    initial, evolve = decider.initial, staticmethod(decider.evolve)
    due = staticmethod(due_elsewhere)

    @staticmethod
    def decide(command: CounterCommand, counter: Counter) -> Any:
        return decider.decide(command, counter)


def test_who_tests_a_decider_hears_of_its_deadlines_that_ask_another_aggregate() -> None:
    with pytest.raises(ValueError, match=r"Carry of c1\+"):
        given(cast(ModuleType, Elsewhere())).when(add(1)).then(*decider.decide(add(1), decider.initial))


class Sink:
    """Keeps what is posted."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes | None]] = []

    async def send(self, topic: str, records: Iterable[tuple[int, Outgoing]]) -> None:
        self.sent += [(topic, record.key) for _, record in records]


def posted_after_ringing(outcome: Any) -> list[tuple[str, bytes | None]]:
    """(topic, key) of what is posted once the bell of the first counter has answered."""
    sink = Sink()
    failures: list[BaseException] = []

    async def perform(intent: Ring, key: str) -> Any:
        return outcome

    async def main() -> None:
        circuits = Circuits(lambda circuit: None)
        runner = EffectRunner(CONTEXT, CODEC, perform, sink, 1, failures.append, lambda intent: None, circuits)
        runner.start([Intent("counter.events/0/0", 0, b"c1" + PENDING, Ring("c1"), "a", 0)])
        for _ in range(20):
            await asyncio.sleep(0)

    asyncio.run(main())
    if failures:
        raise failures[0]
    return sink.sent


def test_an_outcome_is_posted_to_whoever_wanted_it() -> None:
    assert posted_after_ringing(RecordRing(counter_id="c1")) == [("counter.own", b"c1")]


def test_an_outcome_for_another_aggregate_is_not_posted_and_says_so() -> None:
    with pytest.raises(Unusable, match="RecordRing of c2"):
        posted_after_ringing(RecordRing(counter_id="c2"))


def test_a_deadline_of_its_own_is_as_good_as_ever() -> None:
    aggregates = fresh()
    decide_all(aggregates, commands((add(1), "a")))
    assert [intent.wanted for intent in aggregates.intents.values()] == [Due(5, Empty(counter_id="c1", filling=0))]
