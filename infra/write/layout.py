"""What a store has of a partition: keys, values, and how they are made. Pure.

    !                  what the store is of: code, topic id, count of partitions, number
    @                  the position that everything else stands at
    s SLOT             a state, and what is said of the intents it has open
    a LINE WHEN PLACE  its place once more, in order: in the clock's line by when it is due, in a target's as they were opened
    i KEY NAME         a decided command: when that was, and what it said
    q KEY              the commands of a key that wait

How values are written is said in infra/write/plain.py: a store is as trusted as the code, and readable by its user only.
"""

import struct

from infra.rocks import Batch
from infra.write.aggregates import KnownCommand, Position, Seen, Unwritten
from infra.write.intents import CLOCK, Intent, Said, moment
from infra.write.plain import value_of

HEAD, POSITION = b"!", b"@"
STATE, AGENDA, DECIDED, QUEUE = b"s", b"a", b"i", b"q"
WHEN, LENGTH = struct.Struct(">Q"), struct.Struct(">H")

NEVER = (1 << 64) - 1


def behind(prefix: bytes) -> bytes:
    """The end of what begins so."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def state_key(slot: bytes) -> bytes:
    return STATE + slot


def line_prefix(line: bytes) -> bytes:
    return AGENDA + LENGTH.pack(len(line)) + line


CLOCK_LINE = line_prefix(CLOCK)


def agenda_key(intent: Intent) -> bytes:
    if intent.line == CLOCK:
        return CLOCK_LINE + WHEN.pack(min(max(moment(intent), 0), NEVER)) + intent.place
    return line_prefix(intent.line) + WHEN.pack(intent.nth) + intent.place


def line_in(key: bytes) -> bytes:
    """Whose line a key of the agenda is in."""
    (length,) = LENGTH.unpack_from(key, len(AGENDA))
    return key[len(AGENDA) + LENGTH.size :][:length]


def place_in(key: bytes) -> bytes:
    """The place a key of the agenda is about."""
    return key[len(AGENDA) + LENGTH.size + len(line_in(key)) + WHEN.size :]


def decided_key(decided: KnownCommand) -> bytes:
    """No key has a NUL; what the context asked itself is told from what strangers did."""
    key, name = decided
    return DECIDED + key + (b"\0c" + name if isinstance(name, bytes) else b"\0o" + name[0])


def said_of(intent: Intent) -> Said:
    """What is not seen by the state."""
    return intent.key, intent.correlation, intent.at, intent.nth, intent.topic_id


def batch_of(position: Position, unwritten: Unwritten) -> Batch:
    """All that changed up to a position, and the position."""
    batch: Batch = {
        state_key(slot): value_of(state, tuple([intent and said_of(intent) for intent in unwritten.wanted[slot]]))
        for slot, state in unwritten.states.items()
    }
    for before, after in unwritten.reopened:
        if before is not None:
            batch[agenda_key(before)] = None
        if after is not None:
            batch[agenda_key(after)] = b""
    for decided, (at, digest) in unwritten.decided.items():
        batch[decided_key(decided)] = WHEN.pack(max(at, 0)) + (digest or b"")
    for key, queue in unwritten.queues.items():
        batch[QUEUE + key] = value_of(queue) if queue else None
    batch[POSITION] = value_of(position)
    return batch


def seen_in(value: bytes) -> Seen:
    return Seen(WHEN.unpack_from(value)[0], value[WHEN.size :] or None)
