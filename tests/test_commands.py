"""Every command does something: in some state that a context's examples lead to, the answer is neither silence nor no."""

import importlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from infra.messages import Refused
from infra.model.context import Aggregate, Context
from infra.shop.mesh import mesh

LENGTH = 4  # of the longest history that is tried


@cache
def examples(context: str) -> list[Any]:
    return list(vars(importlib.import_module(f"tests.{context}.examples")).values())


@cache
def states(context: str, aggregate: str) -> list[Any]:
    """Where the example events lead, in any order and any number up to LENGTH."""
    of = next(a for a in mesh.context(context).aggregates if a.name == aggregate)
    events = [example for example in examples(context) if type(example) in of.events]
    reachable = last = [of.initial]
    for _ in range(LENGTH):
        reached = [after for before in last for event in events for after in step(of, before, event)]
        last = [state for i, state in enumerate(reached) if state not in reachable and state not in reached[:i]]
        reachable = reachable + last
    return reachable


def step(aggregate: Aggregate, state: Any, event: Any) -> list[Any]:
    """The state behind the event, if it can happen in this one: a fold may rely on what its decider does not say."""
    try:
        return [aggregate.evolve(state, event)]
    except Exception:
        return []


def idle(context: Context) -> Iterator[str]:
    """The commands that never do anything."""
    for aggregate in context.aggregates:
        for command in aggregate.commands:
            if not does_something(command, aggregate, context.name):
                yield idleness(context.name, command)


def idleness(context: str, command: type) -> str:
    return f"{context}.{command.__name__} does nothing in any example state: add an example or a case"


def does_something(command: type, aggregate: Aggregate, context: str) -> bool:
    return any(
        type(event) is not Refused
        for example in examples(context)
        if type(example) is command
        for state in states(context, aggregate.name)
        for event in aggregate.decide(example, state)
    )


def without(command: type, context: Context) -> Context:
    """The context as if the decider's case of this command were gone."""

    def lacking(aggregate: Aggregate) -> Aggregate:
        return replace(
            aggregate, decide=lambda c, state: iter(()) if type(c) is command else aggregate.decide(c, state)
        )

    return replace(context, aggregates=tuple(map(lacking, context.aggregates)))


@pytest.mark.parametrize("context", mesh.contexts)
def test_every_command_does_something(context: str) -> None:
    assert "\n".join(idle(mesh.context(context))) == ""


@pytest.mark.parametrize(
    ("context", "command"), [(c.name, command) for c in mesh.contexts.values() for command in c.commands]
)
def test_a_decider_without_a_case_for_a_command_is_caught(context: str, command: type) -> None:
    assert idleness(context, command) in idle(without(command, mesh.context(context)))
