"""What a store gives back is what it was given, however it was written."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from infra.messages import Due
from infra.write.intents import DUE, Intent
from infra.write.plain import PICKLED, both_in, thing_of, value_of
from tests.counter.commands import counter as commands


class Pair(NamedTuple):
    left: int
    right: int


@dataclass(frozen=True, kw_only=True)
class Line:
    name: str
    quantity: int


@dataclass(frozen=True, kw_only=True)
class DearLine(Line):
    discount: int = 0


@dataclass(frozen=True)
class Empty: ...


@dataclass(frozen=True)
class Full:
    owner: str
    lines: tuple[Line, ...]
    missing: frozenset[str]
    since: int | None = None
    is_closed: bool = False


@dataclass(frozen=True)
class Odd:
    """Of fields whose types say little, or more than marshal knows."""

    anything: Any
    count: int = 0


@dataclass(frozen=True)
class Tree:
    name: str
    branches: "tuple[Tree, ...]" = ()


@dataclass(frozen=True)
class Checked:
    """Of a type that nobody has loaded where it is written."""

    thing: "NotLoaded"  # type: ignore[name-defined]  # noqa: F821


@dataclass(frozen=True)
class Computed:
    side: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "area", self.side**2)


@dataclass(frozen=True)
class Rooms:
    rooms: tuple[Computed, ...]


LINES = (Line(name="tea", quantity=2), Line(name="Käse", quantity=-1))
WANTED = Due(5, commands.Empty(counter_id="c1", filling=1))


@pytest.mark.parametrize(
    "thing",
    [
        Full("ada", LINES, frozenset({"tea", "Käse"}), 1 << 40),
        Full("ada", (), frozenset(), is_closed=True),
        Empty(),
        Intent("counter.events/0/7", 0, b"c1" + DUE, WANTED, "r", 9, b"clock", 3),
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
        Full("ada", (*LINES, DearLine(name="pearl", quantity=1)), frozenset()),
        Tree("oak", (Tree("branch"),)),
        Checked(thing=1),
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
    intent = Intent("counter.events/0/7", 0, b"c1" + DUE, WANTED, "r", 9, b"to x", 3)
    kept = thing_of(value_of(intent))
    assert (kept.line, kept.nth) == (b"to x", 3)


@pytest.mark.parametrize("thing", [LINES[0], 7])
def test_what_is_put_beside_a_thing_comes_back_with_it(thing: Any) -> None:
    beside = (None, ("counter.events/0/7", "r", 9, 3))
    assert both_in(value_of(thing, beside)) == (thing, beside)


@pytest.mark.parametrize("thing", [Computed(3), Rooms((Computed(3),))], ids=["itself", "in another"])
def test_what_was_computed_when_it_was_made_is_kept(thing: Any) -> None:
    again = thing_of(value_of(thing))
    assert (again.rooms[0] if isinstance(again, Rooms) else again).area == 9
