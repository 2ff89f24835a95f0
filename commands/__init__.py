"""What can be asked: one module a context, frozen dataclasses, then their union.

A command is private to its context: producers outside and the context's own policy ask it, never another context.
"""

from dataclasses import dataclass

MAX_ID = 255


def is_id(text: str) -> bool:
    """Whether a text can be the id of an aggregate, and so the key of a record."""
    return 0 < len(text) <= MAX_ID and "\0" not in text


@dataclass(frozen=True, kw_only=True)
class Discard:
    """What any context can be asked of a dead letter, under the letter's own key and id: never process it."""

    reason: str


@dataclass(frozen=True)
class Due:
    """What a state asks of the clock: this command, `after_s` seconds past the event that brought the state about.

    As long as a state names an equal Due, the moment stays. The command's id follows from that event, so that asking
    twice is asking once; and it may come late: the aggregate's log decides what is still to be done.
    """

    after_s: int
    command: object
