"""What could not be processed: kept, and where order matters with the later commands of its key behind it.

A stranger's record that is no command is answered and in nobody's way. What a context asked itself, and what a decider failed
at, has a place among the commands of its key: they wait. A key's queue is folded from the log like any state. Only its head is
processed, when it is sent again under its id; what is decided or discarded leaves the queue, and the next one is its head.
https://docs.axoniq.io/axon-framework-reference/4.11/events/event-processors/dead-letter-queue has the same idea.
"""

import traceback
from typing import Any

from infra.errors import Unreadable
from infra.messages import Discarded, Parked, Rejected
from infra.wire.envelope import COMMAND_HEADERS, CommandName
from infra.wire.limits import MAX_DEAD_BYTES, MAX_HEADER, MAX_HEADERS, MAX_KEY, MAX_NAME, MAX_REASON, MAX_TRACE
from infra.wire.record import Header, Headers, Outgoing, Record

FAILED = "failed"  # the code of what a decider failed at
PREFIX = "dlq-"  # of the headers that say why a record was kept: a stranger's own are not taken over

Queue = tuple[CommandName, ...]


def rejected(command: CommandName, why: Unreadable) -> Rejected:
    """The answer to what cannot be processed. A stranger's that was no command before anybody decided on it blocks nobody."""
    return Rejected(
        code=why.code, reason=why.reason[:MAX_REASON], blocks=not isinstance(command, bytes) or why.code == FAILED
    )


def queue_after(queue: Queue, event: Any, command: CommandName) -> Queue:
    """A key's queue after an event of this command."""
    if isinstance(event, Rejected | Parked):
        is_in_nobodys_way = isinstance(event, Rejected) and not event.blocks
        return queue if is_in_nobodys_way or command in queue else (*queue, command)
    if isinstance(event, Discarded):
        return tuple(waiting for waiting in queue if waiting != command)
    return queue[1:] if queue[:1] == (command,) else queue


def shown(command: CommandName) -> str:
    """The id of a command, to be read."""
    return (command if isinstance(command, bytes) else command[0]).decode(errors="replace")


def behind(head: CommandName) -> Unreadable:
    """Why a command that nothing is wrong with is parked."""
    return Unreadable("behind", f"waits behind {shown(head)}, which could not be processed")


def failed(error: Exception) -> Unreadable:
    """A decider that failed: a bug of ours, and no reason to stop whoever asks something else."""
    return Unreadable(FAILED, f"{type(error).__name__}: {error}"[:500])


def dead_letter(record: Record, error: Unreadable, *, may_name: bool) -> Outgoing:
    """The record as it came, and why it is here; what no topic could hold (a batch may unpack to more) is cut, and says so.

    Of what may name a person in plain only the headers that everybody may read are left.
    """
    why = [
        ("dlq-original-topic", record.topic.encode()),
        ("dlq-original-partition", b"%d" % record.partition),
        ("dlq-original-offset", b"%d" % record.offset),
        ("dlq-original-timestamp", b"%d" % record.timestamp),
        ("dlq-exception-class", error.code.encode()),
        ("dlq-exception-message", error.reason[:1000].encode()),
    ]
    if error.__cause__ is not None and error.code == FAILED:
        trace = "".join(traceback.format_exception(error.__cause__))
        why.append(("dlq-exception-stacktrace", trace[-MAX_TRACE:].encode()))
    theirs = [(name, value) for name, value in record.headers if not name.startswith(PREFIX)]
    if may_name:
        return _cut(record, b"", _read(theirs), [*why, ("dlq-withheld", b"it may name a person in plain")])
    letter = Outgoing(record.key, record.value, [*theirs, *why])
    if letter.size() <= MAX_DEAD_BYTES:
        return letter
    value = (record.value or b"")[: MAX_DEAD_BYTES // 2]
    others = [(name, content) for name, content in theirs if name not in COMMAND_HEADERS]
    truncated = ("dlq-truncated-from", b"%d" % len(record.value or b""))
    return _cut(record, value, [*_read(theirs), *others], [*why, truncated])


def _read(headers: Headers) -> list[tuple[str, bytes | None]]:
    """Those that whoever reads a command looks for: by one of them a letter is found again."""
    by_name = dict(headers)
    return [(name, by_name[name]) for name in COMMAND_HEADERS if name in by_name]


def _cut(record: Record, value: bytes, headers: Headers, why: list[Header]) -> Outgoing:
    short = [(name[:MAX_NAME], (content or b"")[:MAX_HEADER]) for name, content in headers[:MAX_HEADERS]]
    key = record.key if len(record.key or b"") <= MAX_KEY else None  # as the log has it
    return Outgoing(key, value, [*short, *why])
