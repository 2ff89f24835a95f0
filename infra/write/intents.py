"""What states want of the outside, and of the clock: open from the event that first wanted it to the one that does not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, NamedTuple

from infra.messages import Due
from infra.model.context import Aggregate

PENDING, DUE = b"\0pending", b"\0due"  # after the place of a state: what it wants of the outside, and of the clock
SUFFIXES = (PENDING, DUE)


MAX_TARGET = 1000  # bytes
CLOCK = b"clock"  # whose line is for deadlines; a target's begins otherwise


@dataclass(slots=True)
class Intent:
    """Something a state wants of the outside, or of the clock (a Due); `key` is the id of the event that opened it.

    `topic_id` is Kafka's id of the topic that event was first written to, if that is another than its partition's own.
    Where it stands is said when it is opened in a partition: in which line, and the how-manieth of all that were. Nothing
    else of it ever changes.
    """

    key: str
    partition: int
    place: bytes  # in Aggregates.intents
    wanted: Any
    correlation: str
    at: int
    line: bytes = field(default=b"", compare=False)
    nth: int = field(default=0, compare=False)
    topic_id: str = ""


# of an intent, what the state that wants it does not tell: key, correlation, at, nth, topic_id
Said = tuple[str, str, int, int, str]


class Want(NamedTuple):
    """A function from an aggregate's id and state to what that wants, and what the place of it ends with."""

    of: Callable[[str, Any], Any]
    suffix: bytes


def told_elsewhere(wanted: Any, key: str, commands: Sequence[type]) -> str | None:
    """Why a deadline is never met: its command is of another aggregate than the one of this key, which takes `commands`.

    What is open is looked for where it was opened, so an answer that goes elsewhere would answer nothing.
    """
    if not isinstance(wanted, Due):
        return None
    t: type = type(wanted.command)
    if t in commands and str(getattr(wanted.command, _id_field(t))) == key:
        return None
    return f"a deadline of {key} asks {named(wanted.command)}, and a Due asks something of its own aggregate"


def named(command: object) -> str:
    """A command and its aggregate, to be read."""
    return f"{type(command).__name__} of {subject_of(command)}"


def subject_of(command: object) -> str:
    """The id of the aggregate that a command is for: its first field."""
    t: type = type(command)
    return str(getattr(command, _id_field(t)))


@cache
def _id_field(t: type) -> str:
    return fields(t)[0].name


def slot_of(place: bytes) -> bytes:
    """Whose intent is at a place."""
    return place[: place.rindex(b"\0")]


def wants_of(aggregate: Aggregate) -> list[Want]:
    """What states of this kind may want."""
    functions = ((aggregate.pending, PENDING), (aggregate.due, DUE))
    return [Want(function, suffix) for function, suffix in functions if function is not None]


def moment(intent: Intent) -> int:
    """When a Due is due, in milliseconds since the epoch."""
    return intent.at + 1000 * int(intent.wanted.after_s)


def line_of(wanted: Any, target: Callable[[Any], str]) -> bytes:
    """Whose line something that is wanted stands in: the clock's, or its target's."""
    return CLOCK if isinstance(wanted, Due) else b"to " + target(wanted).encode()[:MAX_TARGET]
