"""Kafka in memory: topics of records, and what groups committed. The twin of what infra/kafka/log.py speaks to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from infra.errors import LogDamaged
from infra.wire.record import Outgoing, Read

Place = tuple[str, int]


class MemoryKafka:
    """A broker. `now` is its clock, in milliseconds; topics in `keep_time` keep the time their producer gave."""

    def __init__(self, partitions: int, now: Callable[[], int], keep_time: Callable[[str], bool]) -> None:
        self.partitions = partitions
        self.now = now
        self._keep_time = keep_time
        self.topics: dict[Place, list[Read]] = {}
        self.committed: dict[tuple[str, str, int], int] = {}  # by group, topic, partition
        self.appends = 0
        self._waiting: dict[Place, list[asyncio.Future[None]]] = {}

    def log(self, topic: str, partition: int) -> list[Read]:
        return self.topics.setdefault((topic, partition), [])

    def append(self, topic: str, partition: int, records: Sequence[Outgoing]) -> int:
        """Append as one batch; the offset of the first record."""
        log = self.log(topic, partition)
        base, now, keep = len(log), self.now(), self._keep_time(topic)
        for number, record in enumerate(records, base):
            at = record.timestamp if keep and record.timestamp is not None else now
            log.append(Read(topic, partition, number, at, record.key, record.value, tuple(record.headers)))
        self.appends += 1
        for waiter in self._waiting.pop((topic, partition), ()):
            if not waiter.done():
                waiter.set_result(None)
        return base

    async def beyond(self, place: Place, offset: int) -> None:
        """Wait until there is a record at this offset."""
        while len(self.log(*place)) <= offset:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(place, []).append(waiter)
            await waiter


class MemoryLog:
    """A context's events topic, and a way to post: without any fault."""

    def __init__(self, kafka: MemoryKafka, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        return {p: len(self._kafka.log(self._topic, p)) for p in partitions}

    async def read(self, partition: int, start: int, end: int) -> AsyncIterator[Sequence[Read]]:
        records = self._kafka.log(self._topic, partition)
        if len(records) < end:
            raise LogDamaged(f"{self._topic}/{partition} ends at {len(records)}, not at {end}")
        yield records[start:end]

    async def append(self, partition: int, records: Sequence[Outgoing]) -> int:
        return self._kafka.append(self._topic, partition, records)

    async def send(self, topic: str, records: Iterable[tuple[int, Outgoing]]) -> None:
        for partition, record in records:
            self._kafka.append(topic, partition, [record])
