"""What the log of a partition says of the topics its commands come from: which they are, and how far each is decided. Pure.

The offset of a command means something only in the topic it was read from. So a log names that topic by Kafka's own id,
in a record of its own (`weft.Resumed`) at the first sight of it, and again when somebody accepts another one in its place.
Those records alone move a cursor back.
"""

from typing import Any, NamedTuple

from infra.messages import Resumed
from infra.wire.avro import Codec
from infra.wire.cloudevents import opened
from infra.wire.envelope import (
    COMMAND_TOPIC,
    DIGEST,
    EventEnvelope,
    EventRecord,
    Way,
    given_id,
)
from infra.wire.record import UNREAD, Header, Outgoing, Record, place_of
from infra.wire.schemas import NAMESPACE

CUT = " cut"  # behind the id of a topic that is known to have been cut, though what was decided last is there again
KEEPING = "log"  # what the ids begin with of what a log says of itself, and nobody asked for
GROWN, FIRST = b"grow/", (0, 1)  # what the ids of a grown log's first records begin with, and where these are


class Decided(NamedTuple):
    """The last command by one way that left an event, as its events tell it; `at` is when those were recorded, or it was appended (ms)."""

    offset: int
    command_id: bytes
    identity: Header | None
    at: int


class Inlet(NamedTuple):
    """What a log says of one way in: the id of the topic (empty if it never said), the next command, and the last decided."""

    topic_id: str
    cursor: int
    decided: Decided | None


class Inbound:
    """The fold of that, one `Inlet` a way. Takes every accepted record of a partition, in order and once."""

    __slots__ = ("_last", "cursors", "passed", "topic_ids")

    def __init__(self) -> None:
        self.cursors = [0 for _ in Way]
        self.topic_ids = ["" for _ in Way]
        self.passed = [
            0 for _ in Way
        ]  # also what left no event, as what was decided before; the log does not say so yet
        self._last: list[EventRecord | Decided | None] = [None for _ in Way]

    def take(self, record: EventRecord) -> None:
        way, offset, identity = record.way, record.command_offset, record.identity
        if identity is not None and identity[0] == COMMAND_TOPIC:
            self._resume(way, identity[1].decode(), offset + 1)
        elif offset >= self.cursors[way]:
            self.cursors[way] = offset + 1
            self._last[way] = record

    def decide(self, way: Way, cursor: int, last: Decided | None) -> None:
        """What was decided on top of it is in the log."""
        if last is not None:
            self.cursors[way], self._last[way] = cursor, last

    def pass_by(self, way: Way, cursor: int) -> None:
        """What lies in front of this was handled."""
        self.passed[way] = max(self.passed[way], cursor)

    def pass_to(self, way: Way, cursor: int) -> None:
        """What lies in front of this is decided elsewhere."""
        self.cursors[way], self._last[way] = cursor, None

    def _resume(self, way: Way, topic_id: str, cursor: int) -> None:
        before = self.topic_ids[way]
        is_somebodys_word = before not in ("", topic_id) and not topic_id.endswith(CUT)
        if cursor < self.cursors[way] or is_somebodys_word:
            self._last[way] = None  # others may stand there
        self.topic_ids[way], self.cursors[way], self.passed[way] = topic_id, cursor, cursor

    def inlet(self, way: Way) -> Inlet:
        last = self._last[way]
        if isinstance(last, EventRecord):
            last = decided_by(last)
        return Inlet(self.topic_ids[way], self.cursors[way], last)

    def plain(self) -> list[tuple[Any, ...]]:
        """As plain data, for whatever keeps the state of a partition."""
        inlets = [self.inlet(way) for way in Way]
        return [(topic_id, cursor, tuple(last) if last else None) for topic_id, cursor, last in inlets]

    @classmethod
    def of(cls, plain: list[tuple[Any, ...]]) -> "Inbound":
        inbound = cls()
        for way, (topic_id, cursor, last) in zip(Way, plain, strict=True):
            inbound.topic_ids[way], inbound.cursors[way] = topic_id, cursor
            inbound._last[way] = Decided(*last) if last else None
        return inbound


def decided_by(event: EventRecord) -> Decided | None:
    """The command of an accepted event; None if nobody asked for it."""
    is_said_of_a_topic = event.identity is not None and event.identity[0] == COMMAND_TOPIC
    if event.command_offset < 0 or is_said_of_a_topic or (event.origin in FIRST and event.command_id.startswith(GROWN)):
        return None
    return Decided(event.command_offset, event.command_id, event.identity, max(event.at, event.command_time))


def is_called(record: Record, command_id: bytes) -> bool:
    """Whether a record in a command topic has this id: the one it was given, else its place."""
    given = given_id(dict(opened(record).headers))
    if given is not None:
        return given == command_id
    place = place_of(record).encode()
    if (
        UNREAD in dict(record.headers) and not record.timestamp
    ):  # of what cannot be unpacked not every client knows the time
        return command_id.partition(b"@")[0] == place
    return command_id in (id_by_place(record), place)  # versions of before left the time out


def id_by_place(record: Record) -> bytes:
    """The id of a command that was given none: its place, and the broker's time when it came there.

    Where a topic was cut or made anew, the same place is that of another command, which came later.
    """
    return f"{place_of(record)}@{record.timestamp}".encode()


def is_the_same(decided: Decided, record: Record) -> bool:
    """Whether a record in a command topic is the one that was decided at its place.

    It has that id, if it is one of our own that identity too, and it was there before its events were recorded. What a
    stranger said is left out: today's code may read it otherwise. So one that was lost and sent again under its id is told
    from the first by the broker's time alone.
    """
    headers = dict(record.headers)
    if not is_called(record, decided.command_id):
        return False
    if decided.identity is not None and decided.identity[0] != DIGEST:
        name, value = decided.identity
        if headers.get(name) != value:
            return False
    return record.timestamp <= decided.at


def deletable(inlet: Inlet, low: int, kept_from: int) -> int | None:
    """The offset in front of which commands may be deleted; None if there are none.

    They are decided, and older than what is kept for those who look, which begins at `kept_from`. The last that was decided
    stays, however old it is: by it the topic is recognised.
    """
    offset = min(inlet.decided.offset if inlet.decided else inlet.cursor, kept_from)
    return offset if offset > low else None


def resumption(
    codec: Codec, context: str, place: tuple[str, int], way: Way, event: Resumed, offset: int, at: int
) -> Outgoing:
    """The record that says where reading commands goes on, as it stands at `offset` of an events partition."""
    topic, partition = place
    envelope, type_name = EventEnvelope(context, topic, partition, codec.types), codec.names[Resumed]
    identity = f"{KEEPING}/{topic}/{partition}/{offset}".encode()
    of_topic = (COMMAND_TOPIC, event.topic_id.encode())
    type_ = f"{NAMESPACE}.Resume".encode()
    shared = envelope.command_part(b"", identity, identity, way, event.cursor - 1, type_, of_topic)
    headers = envelope.headers(shared, type_name.encode(), offset)
    return Outgoing(None, codec.encode(event), headers, at)
