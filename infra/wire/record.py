"""Records on the wire: headers, partitions, and the rule that says which records of an events topic count.

CloudEvents 1.0, Kafka protocol binding, binary content mode: attributes are `ce_` headers.
"""

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, Protocol

Header = tuple[str, bytes]

TYPE = "ce_type"
ID = "ce_id"
SUBJECT = "ce_subject"
CORRELATION = "ce_correlationid"
CAUSATION = "ce_causationid"
TRACE = "traceparent"
EXPECTED_OFFSET = "weft-expected-offset"
COMMAND_OFFSET = "weft-command-offset"
COMMAND_TYPE = "weft-command-type"
CAUSE_TIME = "weft-cause-time"
ORIGINAL = (
    "weft-original-command-offset"  # of an event that was copied when its topic was grown; its id says where it was
)
NO_OFFSET = -1  # the command offset of such an event: it says nothing of this log's cursor

COMMAND_AT = {CORRELATION: 4, CAUSATION: 5, COMMAND_OFFSET: 6}  # where our writers put these headers

MAX_COMMAND_BYTES = 256 * 1024
MAX_BATCH_BYTES = 1_000_000  # events of one command, and of one append
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Record(Protocol):
    """A record as read, whichever client read it. `timestamp` is in milliseconds."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Read(NamedTuple):
    """A record as plain data."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Outgoing(NamedTuple):
    """A record to be written; `timestamp` in milliseconds, None for the broker's own."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp: int | None = None

    def size(self) -> int:
        """An upper bound of its bytes in a RecordBatch (KIP-98 format, all lengths as varints of at most 5 bytes)."""
        return record_size(self.key, self.value, self.headers)


def record_size(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> int:
    """The same of its parts."""
    return (
        40
        + len(key or b"")
        + len(value or b"")
        + sum([10 + len(name.encode()) + len(content or b"") for name, content in headers])
    )


def accepted(headers: dict[str, bytes | None], offset: int) -> bool:
    """The rule everything rests on: a record in an events topic counts iff it landed at the offset its writer expected."""
    return headers.get(EXPECTED_OFFSET) == b"%d" % offset


def is_accepted(record: Record) -> bool:
    """The same of a record; our writers put the expected offset last, so that it need not be searched."""
    headers = record.headers
    if headers and headers[-1][0] == EXPECTED_OFFSET:
        return headers[-1][1] == b"%d" % record.offset
    return accepted(dict(headers), record.offset)


def command_of(headers: Sequence[tuple[str, bytes | None]]) -> tuple[bytes, int, bytes]:
    """Of an accepted event's command: id, offset, correlation. ValueError or KeyError if the headers are not an event's."""
    if (
        len(headers) > COMMAND_AT[COMMAND_OFFSET]
        and headers[COMMAND_AT[CORRELATION]][0] == CORRELATION
        and headers[COMMAND_AT[CAUSATION]][0] == CAUSATION
        and headers[COMMAND_AT[COMMAND_OFFSET]][0] == COMMAND_OFFSET
    ):
        correlation, identity, offset = headers[4][1], headers[5][1], headers[6][1]
    else:
        found = dict(headers)
        correlation, identity, offset = found[CORRELATION], found[CAUSATION], found[COMMAND_OFFSET]
    if correlation is None or identity is None or offset is None:
        raise ValueError("a header has no value")
    return identity, int(offset), correlation


def partition_of(key: bytes, partitions: int) -> int:
    """Java's default partitioner: murmur2 of the key, made positive, modulo the number of partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """MurmurHash2 as in org.apache.kafka.common.utils.Utils.murmur2, as an unsigned 32-bit number."""
    length = len(data)
    words = length >> 2
    h = 0x9747B28C ^ length
    for k in _words(words).unpack_from(data):
        k = k * 0x5BD1E995 & 0xFFFFFFFF
        h = (h * 0x5BD1E995 ^ (k ^ k >> 24) * 0x5BD1E995) & 0xFFFFFFFF
    if rest := data[words << 2 :]:
        h = (h ^ int.from_bytes(rest, "little")) * 0x5BD1E995 & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return h ^ h >> 15


@lru_cache(maxsize=128)
def _words(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}I")


def text(value: bytes | None) -> str | None:
    """A header as text; None if it is absent or not UTF-8."""
    try:
        return value.decode() if value is not None else None
    except UnicodeDecodeError:
        return None


def when(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def command_headers(
    type_name: str,
    command_id: str,
    *,
    correlation: str = "",
    causation: str = "",
    cause_ms: int | None = None,
    trace: str = "",
) -> list[Header]:
    """The headers of a command that one of ours posts."""
    headers = [("ce_specversion", b"1.0"), (TYPE, type_name.encode()), (ID, command_id.encode())]
    optional = ((CORRELATION, correlation), (CAUSATION, causation), (TRACE, trace))
    headers += [(name, value.encode()) for name, value in optional if value]
    if cause_ms is not None:
        headers.append((CAUSE_TIME, b"%d" % cause_ms))
    return headers


def with_header(headers: Iterable[tuple[str, bytes | None]], name: str, value: bytes) -> list[tuple[str, bytes | None]]:
    """The same headers with one set anew."""
    return [*((n, v) for n, v in headers if n != name), (name, value)]
