"""What a state wants of the clock is answered to its own aggregate: anything else is told at once."""

from dataclasses import replace
from types import ModuleType
from typing import Any, cast

import pytest

from infra import Due
from infra.model.context import Context
from infra.testing.given import given
from tests.counter.commands.counter import Carry, CounterCommand, Empty
from tests.counter.streams.counter import decider
from tests.counter.streams.counter.decider import Counter
from tests.infra.counter_log import CONTEXT, add, commands, decide, decide_all, events, fresh, landed, said


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


def test_a_deadline_of_its_own_is_as_good_as_ever() -> None:
    aggregates = fresh()
    decide_all(aggregates, commands((add(1), "a")))
    assert [intent.wanted for intent in aggregates.intents.values()] == [Due(5, Empty(counter_id="c1", filling=0))]
