"""What a store gives back is what it was given, however it was written."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from infra.messages import Due
from infra.write.intents import DUE, Intent
from infra.write.plain import PICKLED, thing_of, value_of
from schemas.orders import OrderLine
from streams.orders.decider import Delivered, Placed
from tests.counter.commands.counter import Empty

LINES = (OrderLine(sku="tea", quantity=2, unit_price_minor=690), OrderLine(sku="Käse", quantity=1, unit_price_minor=1))


class Pair(NamedTuple):
    left: int
    right: int


@dataclass(frozen=True, kw_only=True)
class DearLine(OrderLine):
    discount: int = 0


@dataclass(frozen=True)
class Odd:
    """Of fields whose types say little, or more than marshal knows."""

    anything: Any
    count: int = 0


@pytest.mark.parametrize(
    "thing",
    [
        Placed("ada", "EUR", 1381, 900, LINES, frozenset({"tea", "Käse"})),
        Placed("ada", "EUR", 0, 900, (), frozenset(), authorised=True),
        Delivered(),
        Intent("counter.events/0/7", 0, b"c1" + DUE, Due(5, Empty(counter_id="c1", filling=1)), "r", 9, b"clock", 3),
        Odd(anything=None),
        Odd(anything=LINES[0]),
    ],
)
def test_a_message_of_plain_fields_is_kept_without_pickle(thing: Any) -> None:
    value = value_of(thing)
    assert value[0] != PICKLED
    assert thing_of(value) == thing and type(thing_of(value)) is type(thing)


@pytest.mark.parametrize(
    "thing",
    [
        Odd(anything=(1, 2)),  # not to be taken for a message
        Odd(anything=Pair(1, 2)),
        Odd(anything=[LINES[0]]),
        Placed("ada", "EUR", 0, 900, (*LINES, DearLine(sku="pearl", quantity=1, unit_price_minor=1)), frozenset()),
        (b"a", (b"r",)),
        7,
        None,
    ],
)
def test_what_is_not_plain_is_pickled(thing: Any) -> None:
    value = value_of(thing)
    assert value[0] == PICKLED
    assert repr(thing_of(value)) == repr(thing)


def test_what_an_intent_is_not_compared_by_is_kept_too() -> None:
    intent = Intent("counter.events/0/7", 0, b"c1" + DUE, Due(5, Empty(counter_id="c1", filling=1)), "r", 9, b"to x", 3)
    kept = thing_of(value_of(intent))
    assert (kept.line, kept.nth) == (b"to x", 3)
