"""Kafka in memory: topics of records, and what groups committed. The twin of what infra/kafka/log.py speaks to.

A topic may lose what a real one can: its end, its beginning, or all of it, when it is made anew.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from infra.errors import LogDamaged
from infra.kafka.inbound import Found, Seen
from infra.kafka.marks import Settled
from infra.wire.record import InTransaction, Outgoing, Read

Place = tuple[str, int]


@dataclass
class Transaction:
    """One of a partition, from `start` on; until it `has_ended` nobody knows whether its records count."""

    start: int
    offsets: set[int]
    has_ended: bool = False
    is_aborted: bool = False


MARK = Outgoing(None, None, [("\0mark", b"")])  # of a transaction: it takes an offset, and nobody reads it


def without_marks(records: Sequence[Read]) -> list[Read]:
    """What a client makes of these: marks are passed over."""
    return [record for record in records if record.headers != tuple(MARK.headers)]


class MemoryKafka:
    """A broker. `now` is its clock, in milliseconds; topics in `keep_time` keep the time their producer gave."""

    def __init__(self, partitions: int, now: Callable[[], int], keep_time: Callable[[str], bool]) -> None:
        self.partitions = partitions
        self.now = now
        self._keep_time = keep_time
        self.topics: dict[Place, list[Read]] = {}
        self.committed: dict[tuple[str, str, int], int] = {}  # by group, topic, partition
        self.appends = 0
        self.lows: dict[Place, int] = {}  # the first offset that is still there, where it is not 0
        self.lost: dict[Place, list[Read]] = {}  # what was appended, and is not there any more
        self._epochs: dict[Place, int] = {}
        self._made: dict[str, int] = {}  # how often a topic was made anew
        self._counts: dict[str, int] = {}  # how many partitions it has since
        self.transactions: dict[Place, list[Transaction]] = {}
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
        self._wake((topic, partition))
        return base

    def begin(self, place: Place, records: Sequence[Outgoing]) -> Transaction:
        """Append these in a transaction, which stays open."""
        base = self.append(*place, records)
        log, offsets = self.log(*place), range(base, base + len(records))
        log[base:] = [InTransaction(*record) for record in log[base:]]
        transaction = Transaction(base, set(offsets))
        self.transactions.setdefault(place, []).append(transaction)
        return transaction

    def end(self, place: Place, transaction: Transaction, *, is_aborted: bool) -> None:
        """It is committed, or aborted, if the partition has it still."""
        if transaction in self.transactions.get(place, ()):
            transaction.has_ended, transaction.is_aborted = True, is_aborted
            self.append(*place, [MARK])

    def settled(self, place: Place, start: int, end: int) -> Settled:
        """The twin of infra/kafka/marks.py."""
        there = self.transactions.get(place, ())
        stable = min((t.start for t in there if not t.has_ended), default=len(self.log(*place)))
        return Settled(stable, self.aborted(place) & frozenset(range(start, end)))

    def aborted(self, place: Place) -> frozenset[int]:
        """All offsets of what was aborted."""
        there = self.transactions.get(place, ())
        return frozenset(offset for t in there if t.is_aborted for offset in t.offsets)

    def _wake(self, place: Place) -> None:
        for waiter in self._waiting.pop(place, ()):
            if not waiter.done():
                waiter.set_result(None)

    def topic_id(self, topic: str) -> str:
        made = self._made.get(topic, 0)
        return f"{topic} {made}" if made else topic

    def make_anew(self, topic: str, partitions: int | None = None) -> None:
        """The topic is deleted, and made again; with so many partitions, if it is not as many as all have."""
        self._counts[topic] = self.partitions if partitions is None else partitions
        self._made[topic] = self._made.get(topic, 0) + 1
        for number in range(self.partitions):
            self.lows.pop((topic, number), None)
            self.cut((topic, number), 0)
            del self._epochs[topic, number]  # a new topic begins with the first leader again

    def cut(self, place: Place, end: int) -> None:
        """A leader that had not read on ends what there is; whoever waits for more takes notice."""
        log = self.log(*place)
        self.lost.setdefault(place, []).extend(log[end:])
        there = self.transactions.get(place, [])
        self.transactions[place] = [t for t in there if max(t.offsets) < end]
        del log[end:]
        self._epochs[place] = self._epochs.get(place, 0) + 1
        self._wake(place)

    def delete_before(self, place: Place, offset: int) -> None:
        """Records in front of this offset are not there any more for whoever reads, whichever topic he means."""
        self.lows[place] = max(self.lows.get(place, 0), offset)

    def read(self, place: Place, position: int, most: int) -> Sequence[Read]:
        """What is there from this position on; one that is out of range begins anew, as aiokafka does it here."""
        log, low = self.log(*place), self.lows.get(place, 0)
        start = position if low <= position <= len(log) else low
        return log[start : start + most]

    def look(self, places: Collection[Place], at: Mapping[Place, int]) -> dict[Place, Seen]:
        """The twin of infra/kafka/inbound.py: what these partitions are now."""
        return {place: self._found(place, at.get(place, -1)) for place in places}

    def first_since(self, place: Place, at_ms: int) -> int:
        log = self.log(*place)
        return next((record.offset for record in log if record.timestamp >= at_ms), len(log))

    def _found(self, place: Place, at: int) -> Found:
        log, low = self.log(*place), self.lows.get(place, 0)
        last = log[at] if low <= at < len(log) else None
        partitions = self._counts.get(place[0], self.partitions)
        return Found(self.topic_id(place[0]), low, len(log), self._epochs.get(place, 0), last, partitions)

    async def beyond(self, place: Place, offset: int) -> None:
        """Wait until there is a record at this offset, or it is out of range."""
        while len(self.log(*place)) == offset:
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


class MemoryCommandTopics:
    """A context's command topics: without any fault."""

    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka

    async def look(self, places: Collection[Place], at: Mapping[Place, int]) -> dict[Place, Seen]:
        return self._kafka.look(places, at)

    async def settled(self, place: Place, start: int, end: int) -> Settled:
        return self._kafka.settled(place, start, end)

    async def first_since(self, places: Collection[Place], at_ms: int) -> dict[Place, int]:
        return {place: self._kafka.first_since(place, at_ms) for place in places}

    async def delete_before(self, offsets: Mapping[Place, int], topic_ids: Mapping[str, str]) -> None:
        for place, offset in offsets.items():
            if self._kafka.topic_id(place[0]) == topic_ids[place[0]]:
                self._kafka.delete_before(place, offset)
