"""What any context may say, ask or know: answers, dead letters, deadlines, and what every record carries beside its event.

Names and fields are the storage format: add fields with defaults, never rename. Their schemas and ids are beside this file.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from math import isfinite
from typing import Any, TypeVar

MAX_ID = 255
ESCAPED_NUL = r"\u0000"  # in JSON; also what a text of a backslash and these letters looks like there
REUSED_CODE = "id_reused"  # of the refusal of a command under an id that stands for another one


def is_id(text: str) -> bool:
    """Whether a text can be the id of an aggregate, and so the key of a record."""
    return 0 < len(text) <= MAX_ID and "\0" not in text


def derived_id(*parts: str) -> str:
    """The id of an aggregate that follows from other ids: these, or as much of them as fits, and a digest of all."""
    whole = "/".join(parts)
    if is_id(whole):
        return whole
    digest = blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).hexdigest()
    told = whole.replace("\0", "")[: MAX_ID - len(digest) - 1]
    return f"{told}~{digest}"


@dataclass(frozen=True, kw_only=True)
class Discard:
    """What any context can be asked of a dead letter, under the letter's own key and id: never process it."""

    reason: str


@dataclass(frozen=True)
class Due:
    """What a state asks of the clock: this command to its own aggregate, `after_s` seconds past the event that led to the state.

    As long as a state names an equal Due, the moment stays. The command's id follows from that event, so that asking
    twice is asking once; and it may come late: the aggregate's log decides what is still to be done.
    """

    after_s: int
    command: object


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The answer "no" to a command that was understood; a decider yields it, and the state stays as it is."""

    code: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """The answer to a record that could not be processed; the record itself is kept in `<context>.dead`.

    If it `blocks`, later commands of its key wait behind it, until it is sent again under its id and processed, or discarded.
    """

    code: str
    reason: str
    blocks: bool = True


@dataclass(frozen=True, kw_only=True)
class Parked:
    """The answer to a command that has to wait behind another of its key; it is kept in `<context>.dead` too."""

    behind: str


@dataclass(frozen=True, kw_only=True)
class Discarded:
    """Somebody decided that a rejected or parked command will never be processed."""

    reason: str


RUNTIME = (Refused, Rejected, Parked, Discarded)  # what any context may say


@dataclass(frozen=True, kw_only=True)
class Opened:
    """The first record of a partition that a grown log was copied into; commands in front of `cursor` are decided."""

    moved_from: str
    cursor: int


@dataclass(frozen=True, kw_only=True)
class Moved:
    """The last record of a partition whose log goes on in another topic, with another number of partitions."""

    to: str
    partitions: int


@dataclass(frozen=True, kw_only=True)
class Begun:
    """Of a policy that begins late: it hears nothing in front of these places, each `<topic id>/<partition>/<offset>`."""

    places: tuple[str, ...]


@dataclass(frozen=True)
class Resumed:
    """From here on the commands of one way are those of the topic with this id, and `cursor` is the next one to decide.

    `reason` is empty when nothing was lost: the topic was seen for the first time. Otherwise somebody has accepted it.
    """

    topic_id: str
    cursor: int
    reason: str


LOG_KEEPING = (
    Opened,
    Moved,
    Begun,
    Resumed,
)  # what a log says of itself; nobody asked for it, and no row is made of it


@dataclass(frozen=True, kw_only=True)
class Meta:
    """What is known of a recorded event beside its content. `at` never goes back within a partition.

    `way` is how its command came in: `commands`, where anybody asks, or `own`, where its context does; `command_digest` is
    of what it said, in hex, empty where nobody has to know.
    """

    context: str
    type: str
    id: str
    subject: str
    at: datetime
    topic: str
    partition: int
    offset: int
    command_id: str
    command_type: str
    way: str
    command_digest: str
    command_offset: int
    correlation_id: str


def shown_json(content: Any) -> str:
    """Content as JSON that Postgres takes as `jsonb`: a NUL in a text is U+FFFD there, and what is no number is a text.

    https://www.postgresql.org/docs/current/datatype-json.html
    """
    try:
        text = _json(content)
    except ValueError:
        return _json(_harmless(content))
    return _json(_harmless(content)) if ESCAPED_NUL in text else text


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _harmless(content: Any) -> Any:
    match content:
        case str():
            return content.replace("\0", "\N{REPLACEMENT CHARACTER}")
        case float() if not isfinite(content):
            return str(content)
        case dict():
            return {_harmless(name): _harmless(value) for name, value in content.items()}
        case list() | tuple():
            return [_harmless(value) for value in content]
        case _:
            return content


R = TypeVar("R")


def changed(row: R, **columns: Any) -> R:
    """The row with other values in these columns. As dataclasses.replace, which asks every field of every row what it is, in a seventh of the time."""
    if not columns.keys() <= row.__dict__.keys():
        raise TypeError(f"{type(row).__name__} has no {', '.join(columns.keys() - row.__dict__.keys())}")
    copy = object.__new__(type(row))
    object.__setattr__(copy, "__dict__", row.__dict__ | columns)
    return copy
