"""Plain records out of aiokafka, for both its consumers: the log's reader, and Faust's.

aiokafka makes a frozen dataclass of eleven fields of every record, which costs as much as fetching, checking and parsing
it. What this module replaces is private to aiokafka 0.14.0; tests/test_faust_contract.py pins it.
"""

from typing import Any

from aiokafka.consumer import fetcher

from infra.record import Read


class LeanRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one fetch of one partition."""

    def _consumer_record(self, tp: Any, record: Any) -> Read:
        return Read(tp.topic, tp.partition, record.offset, record.timestamp, record.key, record.value, record.headers)


def install() -> None:
    """Let every consumer of this process have plain records; to be called before the first one is made."""
    fetcher.PartitionRecords = LeanRecords
