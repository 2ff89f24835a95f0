"""What one fetch brought of a partition, batch by batch and within bounds: a batch is whatever anybody wrote.

A few kilobytes can unpack to gigabytes, and a header's name can be bytes that no client takes for a name. In place of what
cannot be read stands a record that says so, for whoever has to answer it.
https://kafka.apache.org/documentation/#recordbatch
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cramjam
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecord, DefaultRecordBatch
from aiokafka.record.util import decode_varint

from infra.wire.limits import MAX_BATCH_RECORDS, MAX_UNPACKED_BYTES
from infra.wire.record import BAD_NAME, TOO_MUCH, UNREAD, Headers

_FRAME = struct.Struct(">qi")  # where every batch begins: its offset, and how many bytes follow
_HEAD = struct.Struct(">qiibIhiqqqhii")
_ATTRIBUTES = struct.Struct(">h")
_ATTRIBUTES_AT = 21
_CODEC, _APPEND_TIME, _TRANSACTIONAL = 0b111, 0b1000, 0b10000
_GZIP, _SNAPPY, _LZ4, _ZSTD = 1, 2, 3, 4
_STREAMED = {_GZIP: cramjam.gzip, _LZ4: cramjam.lz4, _ZSTD: cramjam.zstd}
NUL = "\0"
_XERIAL = b"\x82SNAPPY\x00"  # as Java frames it: blocks behind 16 bytes, each behind its length

BROKEN = b"unreadable its batch is not one"


class Unpacked(NamedTuple):
    """A record of a batch that aiokafka does not make as it is wanted; its time in milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Batch:
    """One batch as it came; `records` are those in it, and one at its end that is UNREAD if it holds too much."""

    def __init__(self, raw: memoryview) -> None:
        self._raw = raw
        head = _HEAD.unpack_from(raw)
        self._attributes: int = head[5]
        self._first_at, self._last_at, self._count = head[7], head[8], head[12]
        self.base_offset: int = head[0]
        self.next_offset: int = head[0] + head[6] + 1
        self.producer_id: int = head[9]
        self.is_transactional = bool(self._attributes & _TRANSACTIONAL)
        self._whole = DefaultRecordBatch(raw)
        self.is_control_batch: bool = self._whole.is_control_batch
        self.validate_crc: Callable[[], bool] = self._whole.validate_crc

    def records(self) -> "Iterator[DefaultRecord | Unpacked]":
        """Those that can be read, in order."""
        raw, whole = self._raw, self._whole
        codec = self._attributes & _CODEC
        if self._count > MAX_BATCH_RECORDS:
            yield self._instead(TOO_MUCH)
            return
        if codec:
            payload = unpacked(codec, raw[_HEAD.size :])
            if payload is None:
                yield self._instead(TOO_MUCH)
                return
            head = bytearray(raw[: _HEAD.size])
            _ATTRIBUTES.pack_into(head, _ATTRIBUTES_AT, self._attributes & ~_CODEC)
            raw = memoryview(bytes(head) + payload)
            whole = DefaultRecordBatch(raw)
        try:
            for record in list(whole):
                headers = record.headers
                for name, _ in headers:
                    if NUL in name:
                        headers = as_librdkafka_has_them(headers)
                        record = Unpacked(record.offset, record.timestamp, record.key, record.value, headers)
                        break
                yield record
        except (CorruptRecordException, ValueError):
            yield from self._one_by_one(bytes(raw[_HEAD.size :]))

    def _one_by_one(self, payload: bytes) -> Iterator[Unpacked]:
        """The same, where one of them at least is odd."""
        position = 0
        try:
            for _ in range(self._count):
                length, start = decode_varint(payload, position)
                position = start + length
                yield self._record(payload[start:position])
        except (ValueError, IndexError, OverflowError):
            yield self._instead(BROKEN)

    def _record(self, data: bytes) -> Unpacked:
        delta, at = decode_varint(data, 1)  # behind its attributes, which say nothing
        offset, at = decode_varint(data, at)
        key, at = _bytes(data, at)
        value, at = _bytes(data, at)
        count, at = decode_varint(data, at)
        headers: list[tuple[str, bytes | None]] = []
        names = []
        for _ in range(count):
            name, at = _bytes(data, at)
            content, at = _bytes(data, at)
            names.append(name or b"")
            headers.append((names[-1].decode(errors="replace"), content))
        if at != len(data):
            raise ValueError("it is longer than it says")
        timestamp = self._last_at if self._attributes & _APPEND_TIME else self._first_at + delta
        is_named = all(map(_is_utf8, names))
        named = as_librdkafka_has_them(headers) if is_named else [(UNREAD, BAD_NAME)]
        return Unpacked(self.base_offset + offset, timestamp, key, value, named)

    def _instead(self, why: bytes) -> Unpacked:
        return Unpacked(self.next_offset - 1, self._last_at, None, None, [(UNREAD, why)])


def as_librdkafka_has_them(headers: Headers) -> list[tuple[str, bytes | None]]:
    """Headers whose names end at a NUL, so that all who read a record, by whichever client, find the same in it."""
    return [(name.partition(NUL)[0], value) for name, value in headers]


class Batches:
    """The batches of a fetch, the last of which may not be whole; in place of aiokafka's MemoryRecords."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._at = 0

    def size_in_bytes(self) -> int:
        return len(self._data)

    def has_next(self) -> bool:
        left = len(self._data) - self._at
        return left > _FRAME.size and left >= self._length()

    def next_batch(self) -> Batch:
        start, self._at = self._at, self._at + self._length()
        return Batch(self._data[start : self._at])

    def _length(self) -> int:
        _, length = _FRAME.unpack_from(self._data, self._at)
        if length < _HEAD.size - _FRAME.size:
            raise CorruptRecordException(f"a batch of {length} bytes")
        return _FRAME.size + int(length)


def unpacked(codec: int, data: memoryview) -> bytes | None:
    """What was compressed, None if it is more than MAX_UNPACKED_BYTES, or is not what its codec makes."""
    if codec == _SNAPPY:
        return _from_snappy(bytes(data))
    if codec not in _STREAMED:
        return None
    room = max(64 << 10, 8 * len(data))
    while True:
        room = min(room, MAX_UNPACKED_BYTES)
        out = bytearray(room)
        try:
            length = _STREAMED[codec].decompress_into(data, out)
            return bytes(memoryview(out)[:length])
        except cramjam.DecompressionError:
            if room == MAX_UNPACKED_BYTES:
                return None
            room *= 8


def _from_snappy(data: bytes) -> bytes | None:
    """Each block says how much is in it."""
    try:
        blocks = list(_blocks(data))
        if sum(map(cramjam.snappy.decompress_raw_len, blocks)) > MAX_UNPACKED_BYTES:
            return None
        return b"".join(bytes(cramjam.snappy.decompress_raw(block)) for block in blocks)
    except (cramjam.DecompressionError, struct.error, ValueError):
        return None


def _blocks(data: bytes) -> Iterator[bytes]:
    if not data.startswith(_XERIAL):
        yield data
        return
    at = 16
    while at < len(data):
        (size,) = struct.unpack_from("!I", data, at)
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def _bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(data, at)
    if length < 0:
        return None, at
    if at + length > len(data):
        raise ValueError("it is shorter than it says")
    return data[at : at + length], at + length


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
