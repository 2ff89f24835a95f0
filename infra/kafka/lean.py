"""Plain records out of aiokafka, for both its consumers: the log's reader, and Faust's.

aiokafka makes a frozen dataclass of eleven fields of every record, which costs as much as fetching, checking and parsing
it. What this module replaces is private to aiokafka 0.14.0; tests/test_faust_contract.py pins it.
"""

from collections.abc import Iterator

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException

from infra.kafka.unpacking import Batches
from infra.wire.record import InTransaction, Read


class LeanRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one fetch of one partition."""

    next_fetch_offset: int

    def __iter__(self) -> Iterator[Read]:
        records: Iterator[Read] = self._records_iterator
        return records

    def _unpack_records(self) -> Iterator[Read]:
        """As the original has it, for the only isolation level that is used here, read_uncommitted.

        What came in a transaction is told from other records, for who reads commands (infra/write/transactions.py).
        """
        topic, partition = self._tp
        batches = self._records
        while batches.has_next():
            batch = batches.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            if not batch.is_control_batch:
                kind = InTransaction if batch.is_transactional else Read
                for record in batch.records():
                    offset = record.offset
                    if offset >= self.next_fetch_offset:
                        self.next_fetch_offset = offset + 1
                        yield kind(topic, partition, offset, record.timestamp, record.key, record.value, record.headers)
            self.next_fetch_offset = batch.next_offset


def install() -> None:
    """Let every consumer of this process have plain records; to be called before the first one is made."""
    fetcher.PartitionRecords = LeanRecords
    fetcher.MemoryRecords = Batches
