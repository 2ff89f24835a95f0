"""Records on the wire: what they are made of, how large they are, where they are and to which partition they belong."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from infra.errors import LogDamaged, OfNewerCode
from infra.wire.limits import MAX_BATCH_RECORDS, MAX_UNPACKED_BYTES

Header = tuple[str, bytes]
Headers = Sequence[tuple[str, bytes | None]]  # of a record that was read
HeaderMap = Mapping[str, bytes | None]  # the same by name, the last of each

# The one header of a record that nobody can read: "<code> <reason>". No client brings a name that begins with NUL.
UNREAD = "\0unread"
TOO_MUCH = f"too_large it is of a batch of more than {MAX_UNPACKED_BYTES} bytes or {MAX_BATCH_RECORDS} records".encode()
BAD_NAME = b"bad_header the name of a header is not UTF-8"
MURMUR_SEED, MURMUR_FACTOR = 0x9747B28C, 0x5BD1E995
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Located(Protocol):
    """What is at a place in a log."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


class Record(Located, Protocol):
    """A record as read, whichever client read it. `timestamp` is in milliseconds."""

    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class Read(NamedTuple):
    """A record as plain data."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class InTransaction(Read):
    """One that was written in a transaction, which may be open still, or aborted."""

    __slots__ = ()


class Outgoing(NamedTuple):
    """A record to be written; `timestamp` in milliseconds, None for the broker's own."""

    key: bytes | None
    value: bytes | None
    headers: Headers
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


def place_of(record: Located) -> str:
    """Where a record is, as one text."""
    return f"{record.topic}/{record.partition}/{record.offset}"


class UnknownSchema(ValueError):
    """A value behind the id of a schema that is locked nowhere here."""


def unreadable(place: str, error: Exception) -> LogDamaged | OfNewerCode:
    """An accepted record that today's code cannot read: who reads on would leave out what everybody else knows."""
    if isinstance(error, UnknownSchema):
        return OfNewerCode(
            f"{place} was written by newer code ({error}): this code is older than the log. Run the version that wrote it, or a "
            "newer one; with a schema registry, start again so that its ids are looked up"
        )
    return LogDamaged(f"{place} was accepted but cannot be read: {error!r}")


def partition_of(key: bytes, partitions: int) -> int:
    """Java's default partitioner: murmur2 of the key, made positive, modulo the number of partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """MurmurHash2 as in org.apache.kafka.common.utils.Utils.murmur2, as an unsigned 32-bit number."""
    length = len(data)
    words = length >> 2
    h, factor = MURMUR_SEED ^ length, MURMUR_FACTOR
    for k in _words(words).unpack_from(data):
        k = k * factor & 0xFFFFFFFF
        h = (h * factor ^ (k ^ k >> 24) * factor) & 0xFFFFFFFF
    if rest := data[words << 2 :]:
        h = (h ^ int.from_bytes(rest, "little")) * factor & 0xFFFFFFFF
    h = (h ^ h >> 13) * factor & 0xFFFFFFFF
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


def replaced(record: Record, **parts: Any) -> Read:
    """The same record with other parts."""
    fields = (record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers)
    return Read(*fields)._replace(**parts)


def with_header(headers: Iterable[tuple[str, bytes | None]], name: str, value: bytes) -> list[tuple[str, bytes | None]]:
    """The same headers with one set anew."""
    return [*((n, v) for n, v in headers if n != name), (name, value)]
