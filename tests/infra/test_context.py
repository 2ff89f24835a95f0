"""What is optional in a context is found by its name: a misspelt one is told, and so is an intent nobody performs."""

from types import ModuleType
from typing import Any

import pytest

from infra.errors import Unusable
from infra.model import bounded_context
from tests.counter.commands.counter import Asked, Own
from tests.counter.streams.counter import decider, effects, policy


def copy(module: ModuleType, **changed: Any) -> Any:
    """The module with some of its functions under other names, or without them (None)."""
    twin = ModuleType(module.__name__)
    vars(twin).update({name: value for name, value in vars(module).items() if name not in changed})
    vars(twin).update({name: value for name, value in changed.items() if value is not None})
    return twin


def test_a_counter_is_a_context() -> None:
    context = bounded_context("counter", decider, asked=Asked, own=Own, policy=policy, effects=effects)
    assert context.aggregates[0].pending and context.aggregates[0].due


@pytest.mark.parametrize("name", ["pendng", "dues", "decide_all"])
def test_a_function_nobody_would_call_is_told(name: str) -> None:
    misspelt = copy(decider, pending=None, **{name: decider.pending})
    with pytest.raises(Unusable, match=rf"{name}\(\), which nobody calls"):
        bounded_context("counter", misspelt, asked=Asked, own=Own, policy=policy, effects=effects)


def test_an_intent_that_nobody_performs_is_told() -> None:
    with pytest.raises(Unusable, match="wants Ring of the outside"):
        bounded_context("counter", decider, asked=Asked, own=Own, policy=policy)
