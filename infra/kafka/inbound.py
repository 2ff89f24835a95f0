"""Whether a command topic is still the one a log was decided from: its id, where it begins and ends, what was decided last.

`low <= cursor <= end`, and the record in front of the cursor is the one that was decided there. So a topic that was made
anew, one that lost its end and was written over, and commands that were deleted before anybody decided them are seen at any
time later. What is not seen: commands at the end that are lost before anybody decided them, unless an owner saw that end; and
an end that was lost and written over, if commands behind it were decided before any owner looked again: some seconds, in
which its leader has to change and to take in as many others. One without an id is told from an equal one by the time alone.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from threading import Lock
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from infra.errors import Unknown
from infra.kafka import reading
from infra.kafka.reading import TIMEOUT, Place
from infra.wire.inbound import CUT, Decided, Inlet, is_the_same
from infra.wire.record import Read

EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Found:
    """What Kafka says of a partition of a command topic; `last` is what stands where a command was decided last, if it was looked at."""

    topic_id: str
    low: int
    end: int
    epoch: int | None = None  # of its leader
    last: Read | None = None


class Loss(Enum):
    """What became of a command topic."""

    GONE = "is gone"
    ANEW = "was made anew"
    CUT = "lost its end"
    DELETED = "lost its beginning"


@dataclass(frozen=True)
class Trouble:
    """Why nothing of a command topic's partition is decided any more, until somebody accepts it."""

    place: Place
    loss: Loss
    says: str

    def __str__(self) -> str:
        topic, partition = self.place
        return f"{topic}/{partition} {self.says}"


def trouble(place: Place, inlet: Inlet, found: Found | None) -> Trouble | None:
    """What is wrong between what a log has decided and what its command topic is now; None if nothing is."""
    if found is None:
        return Trouble(place, Loss.GONE, "is not there: make it again with `weft setup`, then look again")
    if inlet.topic_id == found.topic_id + CUT:
        return Trouble(
            place,
            Loss.CUT,
            "lost its end and was written over while commands were decided. What stands where others were decided is not decided",
        )
    if inlet.topic_id and found.topic_id != inlet.topic_id:
        return Trouble(
            place,
            Loss.ANEW,
            f"was made anew: its id is {found.topic_id}, {inlet.cursor} commands were read from {inlet.topic_id}. What was not "
            "decided there is lost, and what is here now is not decided",
        )
    if found.end < inlet.cursor:
        return Trouble(
            place,
            Loss.CUT,
            f"ends at {found.end}, but offset {inlet.cursor - 1} was decided: it lost its end. What comes now stands where others "
            "were decided, and is not decided",
        )
    if inlet.decided and found.last and not _is_the_same(inlet.decided, found.last):
        return Trouble(
            place,
            Loss.CUT,
            f"has another command at offset {inlet.decided.offset} than was decided there: it lost its end and was written over. "
            "What stands where others were decided is not decided",
        )
    if inlet.topic_id and found.low > inlet.cursor:  # else what expired may have been decided, and have changed nothing
        return Trouble(
            place,
            Loss.DELETED,
            f"begins at {found.low}, but offset {inlet.cursor} is the next to decide: {found.low - inlet.cursor} commands were "
            "deleted before they were decided",
        )
    return None


def _is_the_same(decided: Decided, record: Read) -> bool:
    return record.offset == decided.offset and is_the_same(decided, record)


class Gauge:
    """Looks at command topics; every method blocks, and raises Unknown when Kafka does not answer."""

    def __init__(self, admin: AdminClient, servers: str) -> None:
        self._admin = admin
        self._servers = servers
        self._reader: Consumer | None = None
        self._at_work = Lock()  # whoever asked may be gone before the answer comes, and nothing is closed under it
        self._is_open = True

    def close(self) -> None:
        with self._at_work:
            self._is_open = False
            if self._reader is not None:
                self._reader.close()

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._at_work:
            if not self._is_open:
                raise Unknown("nobody looks any more")
            # an admin client goes on asking the leader of before, in the epoch of before, until it asks who is leader now
            reading.asking(lambda: self._admin.list_topics(timeout=TIMEOUT))
            yield

    def look(self, places: Iterable[Place], at: Mapping[Place, int]) -> dict[Place, Found]:
        """What there is of these partitions, those that are gone left out; of those in `at` also the record at that offset.

        Ids are asked for last: of a topic that is made anew meanwhile, they are the new one's.
        """
        with self._working():
            return self._look(list(places), at)

    def _look(self, wanted: list[Place], at: Mapping[Place, int]) -> dict[Place, Found]:
        lows, ends = (self._offsets(wanted, spec) for spec in (EARLIEST, LATEST))
        there = [place for place in wanted if place in lows and place in ends]
        records = self._records({p: at[p] for p in there if p in at and lows[p][0] <= at[p] < ends[p][0]})
        ids = self._topic_ids({topic for topic, _ in there})
        return {p: Found(ids[p[0]], lows[p][0], ends[p][0], ends[p][1], records.get(p)) for p in there if p[0] in ids}

    def first_since(self, places: Iterable[Place], at_ms: int) -> dict[Place, int]:
        """Of each partition the first offset whose record is not older than that; its end if all are."""
        with self._working():
            found = self._offsets(list(places), OffsetSpec.for_timestamp(at_ms))
            ends = self._offsets([p for p in found if found[p][0] < 0], LATEST)
        kept = {place: offset for place, (offset, _) in found.items() if offset >= 0}
        return kept | {place: end for place, (end, _) in ends.items()}

    def delete_before(self, offsets: Mapping[Place, int]) -> None:
        """Delete the records in front of these offsets; Unknown says what Kafka has against it."""
        if not offsets:
            return
        with self._working():
            asked = self._admin.delete_records([TopicPartition(*place, offset) for place, offset in offsets.items()])
            for future in asked.values():
                reading.asking(partial(future.result, TIMEOUT))

    def _offsets(self, places: list[Place], spec: OffsetSpec) -> dict[Place, tuple[int, int | None]]:
        if not places:
            return {}
        asked = self._admin.list_offsets({TopicPartition(*place): spec for place in places}, request_timeout=TIMEOUT)
        found = {}
        for tp, future in asked.items():
            try:
                result = future.result(2 * TIMEOUT)
            except KafkaException as error:
                if error.args[0].name() in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"):
                    continue
                raise Unknown(f"Kafka did not answer for {tp.topic}/{tp.partition}: {error.args[0].str()}") from error
            found[tp.topic, tp.partition] = (result.offset, result.leader_epoch)
        return found

    def _topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        names = sorted(topics)
        if not names:
            return {}
        found = {}
        for topic, future in self._admin.describe_topics(TopicCollection(names), request_timeout=TIMEOUT).items():
            try:
                found[topic] = str(future.result(2 * TIMEOUT).topic_id)
            except KafkaException as error:
                if error.args[0].name() not in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"):
                    raise Unknown(f"Kafka did not answer for {topic}: {error.args[0].str()}") from error
        return found

    def _records(self, offsets: Mapping[Place, int]) -> dict[Place, Read]:
        """The first record at each of these offsets or behind, of those where there is one."""
        if not offsets:
            return {}
        if self._reader is None:
            more: dict[str, Any] = {"isolation.level": "read_uncommitted", "fetch.message.max.bytes": 65536}
            self._reader = reading.consumer(self._servers, **more)
        found: dict[Place, Read] = {}
        for place, offset in offsets.items():
            reading.assign(self._reader, {place: offset})
            records, _ = reading.poll(self._reader, 1, TIMEOUT)
            if not records:
                raise Unknown(f"Kafka is silent about {place[0]}/{place[1]} at {offset}")
            found[place] = records[0]
        self._reader.unassign()
        return found


@contextmanager
def gauging(servers: str) -> Iterator[Gauge]:
    """A gauge with clients of its own, which are closed afterwards."""
    config: dict[str, Any] = {
        "bootstrap.servers": servers,
        "log_level": 0,
        "socket.connection.setup.timeout.ms": 5000,
    }
    with AdminClient(config) as admin:
        gauge = Gauge(admin, servers)
        try:
            yield gauge
        finally:
            gauge.close()


class Gauged:
    """The same for who may not block."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge

    async def look(self, places: Collection[Place], at: Mapping[Place, int]) -> dict[Place, Found]:
        return await asyncio.to_thread(self._gauge.look, places, at)

    async def first_since(self, places: Collection[Place], at_ms: int) -> dict[Place, int]:
        return await asyncio.to_thread(self._gauge.first_since, places, at_ms)

    async def delete_before(self, offsets: Mapping[Place, int]) -> None:
        await asyncio.to_thread(self._gauge.delete_before, offsets)
