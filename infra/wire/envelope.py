"""The envelope of an event, and of a command of ours: the only module that knows how their headers are laid out.

CloudEvents 1.0, Kafka protocol binding, binary content mode: attributes are `ce_` headers. An event has, in this order,

    its context's    content-type  ce_specversion  ce_source
    its command's    ce_subject  ce_correlationid  ce_causationid  weft-command-offset or weft-own-offset  weft-command-type
                     [weft-command-digest, weft-reaction, weft-outcome-of, weft-due-of or weft-command-topic]  [traceparent]
    its own          [weft-original-command-offset  weft-earlier-places]  ce_id  ce_type  weft-expected-offset

What the events of a command share stands in front, so that it is made once; what is asked of every record that is read
stands at a known place. Records of other writers may have the same headers in any order.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from infra.messages import MAX_ID, Meta
from infra.wire.record import Header, HeaderMap, Headers, Read, Record, place_of, record_size, text, unreadable, when

CONTENT_TYPE = "content-type"
SPEC_VERSION = "ce_specversion"
SOURCE = "ce_source"
SUBJECT = "ce_subject"
CORRELATION = "ce_correlationid"
CAUSATION = "ce_causationid"
COMMAND_OFFSET = "weft-command-offset"
OWN_OFFSET = "weft-own-offset"  # the same of a command that the context asked itself
COMMAND_TYPE = "weft-command-type"
DIGEST = "weft-command-digest"  # of what a stranger asked: the same id with other content is another command
REACTION = "weft-reaction"  # the place of a reaction: <source topic id>/<partition>[@<own partition>]/<offset>/<number>
OUTCOME_OF = "weft-outcome-of"  # of a command: the intent it answers, by the id of the event that opened it
DUE_OF = "weft-due-of"  # the same of a deadline
COMMAND_TOPIC = (
    "weft-command-topic"  # of what a log says of itself: Kafka's id of the topic that its commands come from
)
IDENTITIES = frozenset(
    (DIGEST, REACTION, OUTCOME_OF, DUE_OF, COMMAND_TOPIC)
)  # what tells a command from others beside its id
TRACE = "traceparent"
ORIGINAL = "weft-original-command-offset"  # of an event that was copied when its topic grew; its id says where it was
EARLIER = "weft-earlier-places"  # of the same, and of a reaction to it: <topic id>/<partition>/<offset> ... since it was first written
ID = "ce_id"
TYPE = "ce_type"
EXPECTED_OFFSET = "weft-expected-offset"
COMMAND_TIME = (
    "weft-command-time"  # of an event: when its command was appended, where the broker's clock was not believed
)
CAUSE_TIME = "weft-cause-time"  # of a command: when what led to it was recorded
COMMAND_HEADERS = (ID, TYPE, REACTION, OUTCOME_OF, DUE_OF, CORRELATION, CAUSATION, CAUSE_TIME, TRACE)  # that are read

CORRELATION_AT, CAUSATION_AT, COMMAND_OFFSET_AT, IDENTITY_AT = 4, 5, 6, 8
OWN = 3  # headers at the end: id, type, expected offset
NO_OFFSET = -1  # the command offset of an event that says nothing of this log's cursor
LONGEST_NUMBER = 20  # digits


class Way(IntEnum):
    """How a command came in: what strangers ask, and what a context asks itself."""

    COMMANDS = 0
    OWN = 1


CommandName = bytes | tuple[bytes]  # its id; in a tuple if the context asked itself, so that no stranger can take it
ReactionPlace = tuple[int, int]  # the offset of what a policy heard, and the how-manieth of its reactions
Reaction = tuple[bytes, ReactionPlace]  # a source, and a place there


def command_name(way: Way, command_id: bytes) -> CommandName:
    """What a command is called among those of its key."""
    return command_id if way is Way.COMMANDS else (command_id,)


def given_id(headers: HeaderMap) -> bytes | None:
    """The id a command was given; None if that is none, or cannot be one."""
    given = headers.get(ID)
    return given if given and len(given) <= MAX_ID and (given.isascii() or text(given) is not None) else None


def way_of(headers: HeaderMap) -> Way:
    """The way the command of an event came by."""
    return Way.OWN if OWN_OFFSET in headers else Way.COMMANDS


def reaction_place(reaction: bytes) -> Reaction:
    """The source of a REACTION, `<topic id>/<partition>`, and its place there; ValueError if it is none."""
    source, offset, number = reaction.rsplit(b"/", 2)
    return source, (int(offset), int(number))


def reaction_places(reaction: bytes, earlier: bytes) -> tuple[Reaction, ...]:
    """Every place of a REACTION, the last one first: what it follows from may have been heard at any of them."""
    last = source, (_, number) = reaction_place(reaction)
    _, at, own = source.partition(b"@")
    before = (place.rsplit(b"/", 1) for place in earlier.split())
    return last, *((topic + at + own, (int(offset), number)) for topic, offset in before)


def marked(source: bytes, owns: Iterable[bytes] = ()) -> list[bytes]:
    """The marks that a reaction of this source moves; `owns` are the partitions its answer was in before it was copied.

    A source with `@<own partition>` is of what was asked in that one, and belongs to another since its context has grown:
    it is held against what was answered there, for those who ask where it belongs may have overtaken it.
    """
    source, _, own = source.partition(b"@")
    return [source, *(b"%b@%b" % (source, o) for o in dict.fromkeys([own, *owns]) if o)]


def held_against(source: bytes) -> tuple[bytes, bytes]:
    """The marks that may be above a reaction of this source: of others of it, and of where its policy has begun."""
    return source, beginning(source.partition(b"@")[0])


def beginning(source: bytes) -> bytes:
    """The mark of where a policy has begun to hear this source."""
    return source + b"<"


def moved_from(headers: Headers, own: int) -> Headers:
    """The headers of what a context asked itself in this partition of its own topic, where they are sent to another one."""
    return [(name, _moved(value, own) if name == REACTION and value else value) for name, value in headers]


def _moved(reaction: bytes, own: int) -> bytes:
    source, *place = reaction.rsplit(b"/", 2)
    return reaction if b"@" in source or len(place) < 2 else b"/".join([b"%b@%d" % (source, own), *place])


OFFSETS = {COMMAND_OFFSET: Way.COMMANDS, OWN_OFFSET: Way.OWN}
OFFSET_OF = {way: name for name, way in OFFSETS.items()}


# -- what an event's writer makes


@dataclass(slots=True)
class CommandPart:
    """What the envelopes of one command's events share. `size` bounds the bytes of such a record, all but its value."""

    headers: list[Header]
    size: int


class EventEnvelope:
    """Makes the headers of the events of one partition; `type_names` are those of all there are."""

    def __init__(self, context: str, topic: str, partition: int, type_names: Iterable[str]) -> None:
        self._context_part: list[Header] = [
            (CONTENT_TYPE, b"application/avro"),
            (SPEC_VERSION, b"1.0"),
            (SOURCE, f"/{context}".encode()),
        ]
        self._prefix = f"{topic}/{partition}/".encode()
        named = (
            SUBJECT,
            CORRELATION,
            CAUSATION,
            COMMAND_OFFSET,
            COMMAND_TYPE,
            OUTCOME_OF,
            TRACE,
            ID,
            TYPE,
            EXPECTED_OFFSET,
        )
        numbers = 3 * LONGEST_NUMBER  # in the command's offset, the id and the expected offset
        longest = len(self._prefix) + max(map(len, type_names), default=0) + numbers
        self._least = record_size(None, None, [*self._context_part, *((name, None) for name in named)]) + longest

    def command_part(
        self,
        key: bytes,
        command_id: bytes,
        correlation: bytes,
        way: Way,
        offset: int,
        type_: bytes,
        identity: Header | None = None,
        trace: bytes | None = None,
        command_time: int | None = None,
    ) -> CommandPart:
        """Of the events of this command; `identity` is one of IDENTITIES, `command_time` when it was appended if not before."""
        headers = [
            *self._context_part,
            (SUBJECT, key),
            (CORRELATION, correlation),
            (CAUSATION, command_id),
            (OFFSET_OF[way], b"%d" % offset),
            (COMMAND_TYPE, type_),
        ]
        size = self._least + 2 * len(key) + len(correlation) + len(command_id) + len(type_)
        if identity:
            headers.append(identity)
            size += len(identity[1])
        if trace:
            headers.append((TRACE, trace))
            size += len(trace)
        if command_time is not None:
            headers.append((COMMAND_TIME, b"%d" % command_time))
            size += len(COMMAND_TIME) + 2 * LONGEST_NUMBER
        return CommandPart(headers, size)

    def headers(self, command: CommandPart, type_: bytes, offset: int) -> tuple[Header, ...]:
        """Of one event that is expected to land at this offset."""
        number = b"%d" % offset
        return (*command.headers, (ID, self._prefix + number), (TYPE, type_), (EXPECTED_OFFSET, number))


def copied_headers(headers: Headers, place: bytes, offset: int) -> Headers:
    """Of an accepted event at `place`, `<topic id>/<partition>/<offset>`, as it stands at `offset` of a log it is copied into."""
    by_name = dict(headers)
    asked_at = OFFSET_OF[way_of(by_name)]
    places = b" ".join(filter(None, [by_name.get(EARLIER), place]))
    original = by_name[ORIGINAL] if ORIGINAL in by_name else by_name[asked_at]
    changed = {asked_at: b"%d" % NO_OFFSET, EXPECTED_OFFSET: b"%d" % offset}
    moved = [(name, changed.get(name, value)) for name, value in headers if name not in (ORIGINAL, EARLIER)]
    return [*moved[:-OWN], (ORIGINAL, original), (EARLIER, places), *moved[-OWN:]]


# -- what an event's reader asks


def accepted(headers: HeaderMap, offset: int) -> bool:
    """The rule everything rests on: a record in an events topic counts iff it landed at the offset its writer expected."""
    return headers.get(EXPECTED_OFFSET) == b"%d" % offset


def is_accepted(record: Record) -> bool:
    """The same of a record; our writers put the expected offset last, so that it need not be searched."""
    headers = record.headers
    if headers and headers[-1][0] == EXPECTED_OFFSET:
        return headers[-1][1] == b"%d" % record.offset
    return accepted(dict(headers), record.offset)


class EventRecord(NamedTuple):
    """What folding needs of an accepted record. `origin`: its offset, or its id if it was copied here; `at` in ms.

    `identity` is what tells its command from others beside its id: one of IDENTITIES; `owns` are the partitions it was in
    before it was copied, and `first_topic` is Kafka's id of the topic that it was written to then. `command_time` is when its
    command was appended, in ms, if the broker said a later time than `at`.
    """

    key: bytes
    value: bytes
    origin: int | bytes
    at: int
    command_id: bytes
    way: Way
    command_offset: int
    correlation: bytes
    identity: Header | None
    owns: tuple[bytes, ...] = ()
    first_topic: bytes = b""
    command_time: int = 0

    @property
    def name(self) -> CommandName:
        return command_name(self.way, self.command_id)


def remembered_as(event: EventRecord) -> CommandName | None:
    """What its command is remembered by; None if it has a place or answers something, which says more than an id."""
    return event.name if is_remembered(event.way, event.identity) else None


def is_remembered(way: Way, identity: Header | None) -> bool:
    """Whether a command is told from others by its id."""
    return way is Way.COMMANDS or identity is None


def _identity(header: tuple[str, bytes | None]) -> Header | None:
    name, value = header
    return (name, value) if name in IDENTITIES and value is not None else None


def _before(headers: HeaderMap) -> tuple[bytes, tuple[bytes, ...], bytes]:
    """The id of an event that was copied, the partitions it was in, and the topic that it was first in."""
    places = (headers.get(EARLIER) or b"").split()
    first_topic = places[0].rsplit(b"/", 2)[0] if places else b""
    return headers[ID] or b"", tuple(place.split(b"/")[-2] for place in places), first_topic


_new: Any = tuple.__new__  # what a NamedTuple has of its own takes twice as long


def event_record(record: Record) -> EventRecord:
    """What there is of an accepted record; LogDamaged if its headers are not an event's."""
    headers = record.headers
    try:
        if (
            len(headers) > IDENTITY_AT
            and headers[CORRELATION_AT][0] == CORRELATION
            and headers[CAUSATION_AT][0] == CAUSATION
            and headers[COMMAND_OFFSET_AT][0] in OFFSETS
        ):
            correlation, command_id = headers[CORRELATION_AT][1], headers[CAUSATION_AT][1]
            asked_at, offset = headers[COMMAND_OFFSET_AT]
            identity = _identity(headers[IDENTITY_AT])
        else:
            by_name = dict(headers)
            asked_at = OFFSET_OF[way_of(by_name)]
            correlation, command_id, offset = by_name[CORRELATION], by_name[CAUSATION], by_name[asked_at]
            identity = next(filter(None, map(_identity, headers)), None)
        if correlation is None or command_id is None or offset is None:
            raise ValueError("a header has no value")
        number = int(offset)
        origin, owns, first = (record.offset, (), b"") if number != NO_OFFSET else _before(dict(headers))
        name, said = headers[-OWN - 1]
        command_time = int(said or b"") if name == COMMAND_TIME else 0
    except (ValueError, KeyError, IndexError) as error:
        raise unreadable(place_of(record), error) from error
    key, value, at = record.key or b"", record.value or b"", record.timestamp
    fields = (
        key,
        value,
        origin,
        at,
        command_id,
        OFFSETS[asked_at],
        number,
        correlation,
        identity,
        owns,
        first,
        command_time,
    )
    event: EventRecord = _new(EventRecord, fields)
    return event


def meta(record: Read, headers: HeaderMap) -> Meta:
    """What an accepted event's headers and place say of it; of one that was copied into a grown topic, its first place."""

    def header(name: str) -> str:
        return (headers.get(name) or b"").decode("utf-8", "replace")

    topic, partition, offset = record.topic, record.partition, record.offset
    if is_copy := ORIGINAL in headers:
        topic, number, place = header(ID).split("/")
        partition, offset = int(number), int(place)
    way = way_of(headers)
    return Meta(
        context=record.topic.partition(".")[0],
        type=header(TYPE),
        id=header(ID),
        subject=header(SUBJECT),
        at=when(record.timestamp),
        topic=topic,
        partition=partition,
        offset=offset,
        command_id=header(CAUSATION),
        command_type=header(COMMAND_TYPE),
        way=way.name.lower(),
        command_digest=(headers.get(DIGEST) or b"").hex(),
        command_offset=int(headers[ORIGINAL if is_copy else OFFSET_OF[way]] or b""),
        correlation_id=header(CORRELATION),
    )


# -- what a command of ours says


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a command is posted: the saga it belongs to, the event that led to it, when (ms), and in which trace."""

    correlation: str = ""
    event_id: str = ""
    at: int | None = None
    trace: str = ""


NO_CAUSE = Cause()


def cause_of(record: Record, headers: HeaderMap) -> Cause:
    """An event as the cause of what is asked because of it."""
    correlation, event_id, trace = (text(headers.get(name)) or "" for name in (CORRELATION, ID, TRACE))
    return Cause(correlation, event_id, record.timestamp, trace)


def command_headers(type_name: str, command_id: str, cause: Cause = NO_CAUSE, *identity: Header) -> list[Header]:
    """The headers of a command that one of ours posts; `identity` is its REACTION with what is EARLIER, OUTCOME_OF or DUE_OF."""
    headers = [(SPEC_VERSION, b"1.0"), (TYPE, type_name.encode()), (ID, command_id.encode()), *identity]
    optional = ((CORRELATION, cause.correlation), (CAUSATION, cause.event_id), (TRACE, cause.trace))
    headers += [(name, value.encode()) for name, value in optional if value]
    if cause.at is not None:
        headers.append((CAUSE_TIME, b"%d" % cause.at))
    return headers
