"""What states want of the outside, and of the clock: open from the event that first wanted it to the one that does not."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from infra.model.context import Aggregate

PENDING, DUE = b"\0pending", b"\0due"  # after the place of a state: what it wants of the outside, and of the clock
SUFFIXES = (PENDING, DUE)


@dataclass(frozen=True, slots=True)
class Intent:
    """Something a state wants of the outside, or of the clock (a Due); `key` is the id of the event that opened it."""

    key: str
    partition: int
    place: bytes  # in Aggregates.intents
    wanted: Any
    correlation: str
    at: int


class Want(NamedTuple):
    """A function from an aggregate's id and state to what that wants, and what the place of it ends with."""

    of: Callable[[str, Any], Any]
    suffix: bytes


def wants_of(aggregate: Aggregate) -> list[Want]:
    """What states of this kind may want."""
    functions = ((aggregate.pending, PENDING), (aggregate.due, DUE))
    return [Want(function, suffix) for function, suffix in functions if function is not None]


def moment(intent: Intent) -> int:
    """When a Due is due, in milliseconds since the epoch."""
    return intent.at + 1000 * int(intent.wanted.after_s)
