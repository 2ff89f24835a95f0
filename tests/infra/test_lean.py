"""What a record is that aiokafka has fetched."""

from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from infra.kafka.lean import LeanRecords
from infra.wire.record import Read


def fetched(*headers: tuple[str, bytes]) -> Read:
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=10_000
    )
    builder.append(0, timestamp=1, key=b"k", value=b"v", headers=list(headers))
    records: Any = LeanRecords(("t", 0), MemoryRecords(bytes(builder.build())), [], 0, None, None, True, 0)
    (record,) = records
    return record


def test_a_header_is_what_it_is() -> None:
    assert fetched(("ce_id", b"a"), ("ce_type", b"b")).headers == [("ce_id", b"a"), ("ce_type", b"b")]


def test_the_name_of_a_header_ends_at_a_nul_as_whoever_reads_with_librdkafka_has_it() -> None:
    assert fetched(("ce_id", b"a"), ("ce_id\0x", b"b")).headers == [("ce_id", b"a"), ("ce_id", b"b")]
