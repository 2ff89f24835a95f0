"""What the accepted records of an events topic have to be to each other, and whether they are."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from struct import Struct
from sys import getsizeof
from types import TracebackType
from typing import NamedTuple, Self

from infra.messages import REUSED_CODE, Refused
from infra.model.context import Context
from infra.read.held import Form, Held, Room
from infra.wire.avro import Codec
from infra.wire.envelope import (
    CAUSATION,
    DIGEST,
    DUE_OF,
    ID,
    ORIGINAL,
    OUTCOME_OF,
    Way,
    accepted,
    event_record,
    way_of,
)
from infra.wire.inbound import Inbound
from infra.wire.record import HeaderMap, Read, place_of

SHOWN = 5
COMMAND_BYTES = 350  # of a command in memory, beside its name
PLACE = Struct(">iqq")
LENGTH = Struct(">i")
NO_KEY = -1


class Decided(NamedTuple):
    """Where the last event of a command stands."""

    partition: int
    offset: int
    timestamp: int


class Chain:
    """Takes in the records of a topic that has these `ends`, by partition. To be closed.

    `are_marks(partition, start, end)` says of offsets without records whether marks of transactions stand there.
    `wrong` has the first of what is wrong, and `more` is how many more there are. Commands are remembered for as long as
    deciding one again would be wrong, and those for which there is no room in memory on disk.
    """

    def __init__(
        self,
        context: Context,
        codec: Codec,
        dedupe_ms: int,
        ends: Mapping[int, int],
        room: Room,
        are_marks: Callable[[int, int, int], bool] = lambda partition, start, end: False,
    ) -> None:
        self.records = self.void = self.more = 0
        self.wrong: list[str] = []
        self.inbound: dict[int, Inbound] = {}
        self._context = context
        self._codec = codec
        self._ends = ends
        self._are_marks = are_marks
        self._last: dict[int, Read] = {}
        self._next: dict[int, int] = {}
        self._dedupe_ms = dedupe_ms
        self._forgotten = 0  # up to when (ms)
        self._decided = Held(Form(bytes, bytes, _written, _read, _size), room)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._decided.close()

    def take(self, records: Iterable[Read]) -> None:
        """Take in the next records of any partitions."""
        heard = [(record, headers, _names(record, headers)) for record, headers in _with_headers(records)]
        with self._decided.having({name for _, _, names in heard for name in names}) as decided:
            for record, headers, names in heard:
                self._take(record, headers, names, decided)
        self._forget()

    def _take(
        self, record: Read, headers: HeaderMap, names: Sequence[bytes], decided: dict[bytes, Decided | None]
    ) -> None:
        place = place_of(record)
        next_ = self._next.get(record.partition, 0)
        if record.offset != next_ and not self._are_marks(record.partition, next_, record.offset):
            self._tell([f"{place} follows {next_ - 1}: records are gone"])
        self._next[record.partition] = record.offset + 1
        self.records += 1
        if not names:
            self.void += 1
            return
        self.inbound.setdefault(record.partition, Inbound()).take(event_record(record))
        self._tell(f"{place} {what}" for what in self._problems(record, headers, place, names, decided))
        self._last[record.partition] = record

    def _problems(
        self,
        record: Read,
        headers: HeaderMap,
        place: str,
        names: Sequence[bytes],
        decided: dict[bytes, Decided | None],
    ) -> Iterator[str]:
        if headers.get(ID) != place.encode() and ORIGINAL not in headers:
            yield f"has the id {headers.get(ID)!r}"
        last = self._last.get(record.partition)
        if last is not None and record.timestamp < last.timestamp:
            yield f"was recorded {last.timestamp - record.timestamp} ms before the one in front of it"
        try:
            event = self._codec.decode(record.value or b"")
        except ValueError as error:
            yield f"was accepted and cannot be read: {error}"
            return
        if type(event) in self._context.events or (type(event) is Refused and not _may_come_again(event, headers)):
            for before in [known for name in names if (known := decided.get(name))][:1]:
                is_next = (before.partition, before.offset) == (record.partition, record.offset - 1)
                if not is_next and record.timestamp - before.timestamp <= self._dedupe_ms:
                    name = (headers.get(CAUSATION) or b"").decode(errors="replace")
                    yield f"decides {name} again, which {before.partition}/{before.offset} did"
            decided |= dict.fromkeys(names, Decided(record.partition, record.offset, record.timestamp))

    def _tell(self, wrong: Iterable[str]) -> None:
        for what in wrong:
            if len(self.wrong) < SHOWN:
                self.wrong.append(what)
            else:
                self.more += 1

    def _forget(self) -> None:
        """Let go of the commands that may be decided again in every partition, once a window: so each is looked at twice."""
        unfinished = [n for n, end in self._ends.items() if self._next.get(n, 0) < end]
        if unfinished and all(n in self._last for n in unfinished):
            horizon = min(self._last[n].timestamp for n in unfinished) - self._dedupe_ms
            if horizon >= self._forgotten + self._dedupe_ms:
                self._forgotten = horizon
                self._decided.forget(lambda decided: decided.timestamp < horizon)


def _with_headers(records: Iterable[Read]) -> Iterator[tuple[Read, HeaderMap]]:
    return ((record, dict(record.headers)) for record in records)


def _names(record: Read, headers: HeaderMap) -> list[bytes]:
    """What the command of an event is known by; nothing if the record is void.

    Of one before there were two ways, nobody can say which of both it is.
    """
    if not accepted(headers, record.offset):
        return []
    way, identity = way_of(headers), headers.get(CAUSATION) or b""
    ways = Way if way is Way.COMMANDS and DIGEST not in headers else (way,)
    key = LENGTH.pack(NO_KEY if record.key is None else len(record.key)) + (record.key or b"")
    return [b"%b%d%b" % (key, way, identity) for way in ways]


def _may_come_again(answer: Refused, headers: HeaderMap) -> bool:
    """Whether it is to a command that took another's id, or to one that counts as long as what it answers is open."""
    return answer.code == REUSED_CODE or OUTCOME_OF in headers or DUE_OF in headers


def _written(decided: Decided) -> bytes:
    return PLACE.pack(*decided)


def _read(written: bytes) -> Decided:
    return Decided(*PLACE.unpack(written))


def _size(name: bytes, decided: Decided | None) -> int:
    return COMMAND_BYTES + getsizeof(name)
