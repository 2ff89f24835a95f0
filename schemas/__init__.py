"""What happened: one dataclass and one .avsc an event, and what every record carries beside its event.

Names and fields are the storage format: add fields with defaults, never rename. The first field of a message is the id
of the aggregate it is about, and the key of its record.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The answer "no" to a command that was understood; a decider yields it, and the state stays as it is."""

    code: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """The answer to a record that could not be processed; the record itself is kept in `<context>.dead`.

    Later commands of its key wait behind it, until it is sent again under its id and processed, or discarded.
    """

    code: str
    reason: str


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


LOG_KEEPING = (Opened, Moved)  # what a log says of itself; nobody asked for it, and no row is made of it


@dataclass(frozen=True, kw_only=True)
class Meta:
    """What is known of a recorded event beside its content. `at` never goes back within a partition."""

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
    command_offset: int
    correlation_id: str
