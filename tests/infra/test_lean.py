"""What a record is that aiokafka has fetched, whoever wrote it and however."""

import struct
from typing import Any

import cramjam
import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from infra.kafka.lean import LeanRecords
from infra.kafka.unpacking import Batches
from infra.wire.limits import MAX_UNPACKED_BYTES
from infra.wire.record import UNREAD, Read

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
CODECS = {"none": 0, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
HEAD = 61  # bytes in front of a batch's records
Header = tuple[str, bytes]


def batch(*records: tuple[bytes, tuple[Header, ...]], codec: int = 0) -> bytes:
    """A batch of (value, headers) from offset 0 on, whose time is 1."""
    builder = DefaultRecordBatchBuilder(
        2, codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=1 << 30
    )
    for offset, (value, headers) in enumerate(records):
        builder.append(offset, timestamp=1, key=b"k", value=value, headers=list(headers))
    return bytes(builder.build())


def signed(raw: bytes) -> bytes:
    """A batch with the checksum that it has to have."""
    body = raw[21:]
    return raw[:8] + struct.pack(">i", len(raw) - 12) + raw[12:17] + struct.pack(">I", calc_crc32c(body)) + body


def fetched(raw: bytes, at: int = 0) -> list[Read]:
    records: Any = LeanRecords(("t", 0), Batches(raw), [], at, None, None, True, 0)
    return list(records)


def fetched_one(*headers: Header) -> Read:
    (record,) = fetched(batch((b"v", headers)))
    return record


def why(record: Read) -> bytes:
    """The code of what nobody can read."""
    return (dict(record.headers)[UNREAD] or b"").partition(b" ")[0]


def test_a_header_is_what_it_is() -> None:
    assert fetched_one(("ce_id", b"a"), ("ce_type", b"b")).headers == [("ce_id", b"a"), ("ce_type", b"b")]


def test_the_name_of_a_header_ends_at_a_nul_as_whoever_reads_with_librdkafka_has_it() -> None:
    assert fetched_one(("ce_id", b"a"), ("ce_id\0x", b"b")).headers == [("ce_id", b"a"), ("ce_id", b"b")]


def test_nobody_can_say_of_his_record_that_it_is_not_to_be_read() -> None:
    assert UNREAD not in dict(fetched_one((UNREAD, b"a")).headers)


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_is_read_however_it_is_packed(codec: str) -> None:
    records = fetched(batch(*((b"v" * 1000, (("h", b"x"),)) for _ in range(300)), codec=CODECS[codec]))
    assert records == [Read("t", 0, n, 1, b"k", b"v" * 1000, [("h", b"x")]) for n in range(300)]


def test_what_was_read_of_a_batch_before_is_not_read_again() -> None:
    assert [record.offset for record in fetched(batch((b"a", ()), (b"b", ())), at=1)] == [1]


def test_a_batch_that_is_not_whole_is_left_to_the_next_fetch() -> None:
    first, second = batch((b"a", ())), batch((b"b", ()))
    for cut in (1, 12, 13, len(second) - 1):
        assert [record.value for record in fetched(first + second[:cut])] == [b"a"]


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_header_whose_name_is_no_text_is_wrong_with_its_record_only(codec: str) -> None:
    # given three records, and in the middle one a header's name that is not UTF-8
    raw = batch((b"a", ()), (b"b", (("zz", b"x"), ("ce_id", b"mine"))), (b"c", ())).replace(b"zz", b"\xff\xfe")
    if CODECS[codec]:
        packed = bytes(cramjam.zstd.compress(raw[HEAD:]))
        raw = raw[:21] + struct.pack(">h", ZSTD) + raw[23:HEAD] + packed
    # when they are fetched
    first, odd, last = fetched(signed(raw))
    # then it says so, with its key and its value, and the others are what they are
    assert [r.value for r in (first, odd, last)] == [b"a", b"b", b"c"]
    assert (odd.offset, odd.timestamp, odd.key, why(odd)) == (1, 1, b"k", b"bad_header")
    assert (first.headers, last.headers) == ([], [])


BOMB = b"x" * (MAX_UNPACKED_BYTES + 1)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_of_a_batch_that_unpacks_to_too_much_one_record_says_so(codec: str) -> None:
    # given a small batch that unpacks to much, and another one behind it
    bomb = batch((b"a", ()), (BOMB, ()), codec=CODECS[codec])
    behind = bytearray(batch((b"b", ())))
    struct.pack_into(">q", behind, 0, 2)
    # when both are fetched
    instead, next_ = fetched(bomb + bytes(behind))
    # then reading goes on behind it
    assert (instead.offset, instead.timestamp, instead.key, instead.value) == (1, 1, None, None)
    assert (why(instead), next_.offset, next_.value) == (b"too_large", 2, b"b")


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_of_a_batch_that_does_not_unpack_one_record_says_so(codec: str) -> None:
    whole = batch((b"v" * 1000, ()), codec=CODECS[codec])
    (instead,) = fetched(signed(whole[:HEAD] + bytes(range(1, 100))))
    assert instead.offset == 0 and UNREAD in dict(instead.headers)


def test_of_a_batch_of_more_records_than_anybody_needs_one_says_so() -> None:
    many = bytearray(batch((b"a", ())))
    struct.pack_into(">i", many, HEAD - 4, 1 << 30)
    (instead,) = fetched(signed(bytes(many)))
    assert why(instead) == b"too_large"


@pytest.mark.parametrize("where", range(HEAD, HEAD + 12))
def test_whatever_the_bytes_of_a_record_are_its_batch_is_passed_by(where: int) -> None:
    raw = bytearray(batch((b"a", (("h", b"x"),))))
    for byte in (0x00, 0x01, 0x7F, 0x80, 0xFF):
        raw[where] = byte
        offsets = [record.offset for record in fetched(signed(bytes(raw)))]
        assert len(offsets) <= 1


def test_a_batch_that_was_damaged_on_its_way_is_not_believed() -> None:
    raw = bytearray(batch((b"a", ())))
    raw[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        fetched(bytes(raw))
