"""Whether a command topic is still the one a log was decided from: its id, where it begins and ends, what was decided last.

`low <= cursor <= end`, and the record in front of the cursor is the one that was decided there. So a topic that was made
anew, one that lost its end and was written over, and commands that were deleted before anybody decided them are seen at any
time later. What is not seen: commands at the end that are lost before anybody decided them, unless an owner saw that end
and nobody has written over it by its next look; and an end that was lost and written over, if commands behind it were decided
before any owner looked again: some seconds, in which its leader has to change and to take in as many others. One without an
id is told from an equal one by the time alone.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from threading import Lock
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from infra.errors import LogDamaged, Unknown
from infra.kafka import reading
from infra.kafka.marks import Settled, settled
from infra.kafka.reading import TIMEOUT, Place
from infra.wire.inbound import CUT, Decided, Inlet, is_the_same
from infra.wire.record import TOO_MUCH, UNREAD, Read

TOO_MUCH_TO_UNPACK = (KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG)
EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
LOOKS = 3  # at what changes while it is looked at
NOT_THERE = ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION")
RIGHTS = " (a principal needs DESCRIBE and READ on command topics, and its owner's needs DELETE)"
_T = TypeVar("_T")
_K = TypeVar("_K")


@dataclass(frozen=True)
class Found:
    """What Kafka says of a partition of a command topic; `last` is what stands where a command was decided last, if it was looked at.

    A partition that its topic has not is found empty: `partitions` says how many that has, if it was counted.
    """

    topic_id: str
    low: int
    end: int
    epoch: int | None = None  # of its leader
    last: Read | None = None
    partitions: int | None = None


@dataclass(frozen=True)
class Unanswered:
    """Kafka answered, and not of this partition: it has no leader, or may not be read."""

    says: str


Seen = Found | Unanswered


class Loss(Enum):
    """What became of a command topic; all but the last two wait for somebody's word."""

    ANEW = "was made anew"
    CUT = "lost its end"
    DELETED = "lost its beginning"
    TORN = "has other partitions than its log"
    GONE = "is gone"
    UNANSWERED = "does not answer"


@dataclass(frozen=True)
class Trouble:
    """Why nothing of a command topic's partition is decided any more, until somebody accepts it."""

    place: Place
    loss: Loss
    says: str

    def __str__(self) -> str:
        topic, partition = self.place
        return f"{topic}/{partition} {self.says}"

    def next(self, context: str) -> str:
        """What somebody can do about it, a clause."""
        topic, partition = self.place
        match self.loss:
            case Loss.GONE:
                return "`weft setup` is next"
            case Loss.UNANSWERED:
                return "it is asked again, and goes on by itself"
            case Loss.TORN:
                return f"delete {topic}, run `weft setup`, and then `weft topics accept {context}`"
            case _:
                return f"`weft topics accept {context} {partition}` is next"


def trouble(place: Place, inlet: Inlet, found: Seen | None, partitions: int | None = None) -> Trouble | None:
    """What is wrong between what a log of so many `partitions` has decided and what its command topic is now; None if nothing is."""
    if found is None:
        return Trouble(place, Loss.GONE, "is not there: make it again with `weft setup`, then look again")
    if isinstance(found, Unanswered):
        return Trouble(place, Loss.UNANSWERED, f"does not answer, and nobody can say what became of it: {found.says}")
    if partitions is not None and found.partitions not in (None, partitions):
        return Trouble(
            place,
            Loss.TORN,
            f"cannot be decided: the topic has {found.partitions} partitions, its log has {partitions}. What was asked there "
            "has to be asked again when there is one that has as many",
        )
    if inlet.topic_id == found.topic_id + CUT:
        return Trouble(
            place,
            Loss.CUT,
            f"lost its end, or others were written over it: its owner had seen more than is there, which ends at {found.end} "
            "now. What is there and is not decided is not decided yet",
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
    """Looks at command topics; every method blocks, and raises Unknown, whatever it is that fails, when Kafka does not answer.

    What it does not say of one partition is Unanswered for that one alone.
    """

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
            try:
                # an admin client goes on asking the leader of before, in the epoch of before, until it asks who is leader now
                self._admin.list_topics(timeout=TIMEOUT)
                yield
            except (KafkaException, TimeoutError, LogDamaged) as error:
                raise Unknown(f"Kafka did not answer: {_said(error)}") from error

    def look(self, places: Iterable[Place], at: Mapping[Place, int]) -> dict[Place, Seen]:
        """What there is of these partitions, those whose topic is gone left out; of those in `at` also the record at that offset.

        One that changes between two questions is looked at again. Ids are asked for last: of a topic that is made anew
        meanwhile, they are the new one's.
        """
        found: dict[Place, Seen] = {}
        with self._working():
            left = list(places)
            for _ in range(LOOKS):
                once, left = self._look(left, at)
                found |= once
                if not left:
                    break
        return found | dict.fromkeys(left, Unanswered("it changes while it is looked at"))

    def _look(self, wanted: list[Place], at: Mapping[Place, int]) -> tuple[dict[Place, Seen], list[Place]]:
        """What there is, and of which partitions another look has to say."""
        lows, ends = (self._offsets(wanted, spec) for spec in (EARLIEST, LATEST))
        bounds = {
            place: (low, high)
            for place, low in lows.items()
            if not isinstance(low, Unanswered) and not isinstance(high := ends.get(place), Unanswered | None)
        }
        asked = {p: at[p] for p, ((first, _), (end, _)) in bounds.items() if p in at and first <= at[p] < end}
        records, changed = self._records(asked)
        topics = self._described({topic for topic, _ in wanted})
        found: dict[Place, Seen] = {}
        for place in wanted:
            topic, last = topics.get(place[0]), records.get(place)
            if topic is None or place in changed:
                continue
            if isinstance(topic, Unanswered):
                found[place] = topic
            elif isinstance(last, Unanswered):
                found[place] = last
            elif place in bounds:
                (first, _), (end, epoch) = bounds[place]
                found[place] = Found(topic.id, first, end, epoch, last, topic.partitions)
            else:
                found[place] = _without_bounds(place, topic, lows.get(place), ends.get(place))
        return found, [place for place in wanted if place in changed and place[0] in topics]

    def partitions(self, topics: Iterable[str]) -> dict[str, int]:
        """How many partitions each of these has; those that are gone left out."""
        with self._working():
            found = self._described(topics)
        counts = {}
        for name, topic in found.items():
            if isinstance(topic, Unanswered):
                raise Unknown(f"Kafka did not answer for {name}: {topic.says}")
            counts[name] = topic.partitions
        return counts

    def records(self, place: Place, start: int, end: int) -> Iterator[Read]:
        """What there is from `start` up to `end`, also where nothing but marks of transactions comes behind the last of it."""
        with self._working(), self._reading({place: start}) as reader:
            position = start
            while position < end:
                messages = reading.messages_of(reader, 1000, TIMEOUT)
                if not messages:
                    raise Unknown(f"Kafka is silent about {place[0]}/{place[1]} at {position}")
                for message in messages:
                    if error := message.error():
                        if error.code() == KafkaError._PARTITION_EOF:
                            return
                        raise Unknown(f"Kafka did not answer for {place[0]}/{place[1]}: {error.str()}")
                    position = message.offset() + 1
                    if position > end:
                        return
                    yield reading.read_of(message)

    def first_since(self, places: Iterable[Place], at_ms: int) -> dict[Place, int]:
        """Of each partition the first offset whose record is not older than that; its end if all are. Left out is what did not answer."""
        with self._working():
            found = _answered(self._offsets(list(places), OffsetSpec.for_timestamp(at_ms)))
            ends = _answered(self._offsets([place for place in found if found[place] < 0], LATEST))
        return {place: offset for place, offset in found.items() if offset >= 0} | ends

    def delete_before(self, offsets: Mapping[Place, int], topic_ids: Mapping[str, str]) -> None:
        """Delete the records in front of these offsets, where their topics have these ids still; Unknown says what Kafka has against it.

        Kafka deletes by name. So whoever stood still may mean a topic that is another one by now, and would delete what nobody
        has decided: the ids are looked at last. What is left is a topic that is made anew, and is asked for that much, between
        this look and the broker's deed; some milliseconds, or as long as this very thread stands still in between.
        """
        with self._working():
            now = self._described(topic_ids)
            same = {name for name, topic in now.items() if isinstance(topic, _Topic) and topic.id == topic_ids[name]}
            wanted = [TopicPartition(*place, offset) for place, offset in offsets.items() if place[0] in same]
            if not wanted:
                return
            asked = self._admin.delete_records(wanted)
            refused = {tp: e for tp, e in _each(asked, lambda low: low).items() if isinstance(e, Unanswered)}
            for tp, error in refused.items():
                raise Unknown(f"{tp.topic}/{tp.partition}: {error.says}")

    def _offsets(self, places: list[Place], spec: OffsetSpec) -> dict[Place, "_Offset | Unanswered"]:
        """An offset of each of these, and the epoch it is of; those that are not there left out."""
        if not places:
            return {}
        asked = self._admin.list_offsets({TopicPartition(*place): spec for place in places}, request_timeout=TIMEOUT)
        found = _each(asked, lambda result: (int(result.offset), result.leader_epoch))
        return {(tp.topic, tp.partition): offset for tp, offset in found.items()}

    def _described(self, topics: Iterable[str]) -> dict[str, "_Topic | Unanswered"]:
        """Id and number of partitions of each of these, those that are not there left out."""
        names = sorted(topics)
        if not names:
            return {}
        asked = self._admin.describe_topics(TopicCollection(names), request_timeout=TIMEOUT)
        return _each(asked, lambda topic: _Topic(str(topic.topic_id), len(topic.partitions)))

    def _records(self, offsets: Mapping[Place, int]) -> tuple[dict[Place, Read | Unanswered], set[Place]]:
        """The first record at each of these offsets or behind, all asked for at once; and which of them are not there any more.

        Where marks of transactions are all there is, it is as if an empty one stood at the end.
        """
        found: dict[Place, Read | Unanswered] = {}
        changed: set[Place] = set()
        if not offsets:
            return found, changed
        until = time.monotonic() + TIMEOUT
        with self._reading(offsets) as reader:
            while offsets.keys() - found.keys() - changed and (left := until - time.monotonic()) > 0:
                for message in reading.messages_of(reader, 1000, left):
                    place, error = (message.topic(), message.partition()), message.error()
                    if place not in offsets or place in found:
                        continue
                    if error is None:
                        found[place] = reading.read_of(message)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        found[place] = Read(*place, message.offset(), 0, None, None, ())
                    elif error.code() in reading.NOT_IN_THE_LOG:
                        changed.add(place)
                    elif error.code() in TOO_MUCH_TO_UNPACK:
                        found[place] = Read(*place, offsets[place], 0, None, None, [(UNREAD, TOO_MUCH)])
                    else:
                        found[place] = Unanswered(error.str())
                    reader.pause([TopicPartition(*place)])  # one is enough, and others have to be heard
            reader.resume([TopicPartition(*place) for place in offsets])  # else they are paused the next time too
        silent = {place: Unanswered(f"Kafka is silent at offset {offsets[place]}") for place in offsets}
        return silent | found, changed

    @contextmanager
    def _reading(self, offsets: Mapping[Place, int]) -> Iterator[Consumer]:
        """A consumer that reads these partitions from there on, and says where they end."""
        if self._reader is None:
            more: dict[str, Any] = {
                "isolation.level": "read_uncommitted",
                "fetch.message.max.bytes": 65536,
                "enable.partition.eof": True,
            }
            self._reader = reading.consumer(self._servers, **more)
        reading.assign(self._reader, offsets)
        try:
            yield self._reader
        finally:
            self._reader.unassign()


@dataclass(frozen=True)
class _Topic:
    """A topic as Kafka describes it."""

    id: str
    partitions: int


_Offset = tuple[int, int | None]  # and the epoch it is of


def _without_bounds(place: Place, topic: _Topic, *bounds: _Offset | Unanswered | None) -> Seen:
    if unanswered := next((bound for bound in bounds if isinstance(bound, Unanswered)), None):
        return unanswered
    if place[1] < topic.partitions:
        return Unanswered("not every broker knows it yet")
    return Found(topic.id, 0, 0, partitions=topic.partitions)


def _answered(offsets: Mapping[Place, _Offset | Unanswered]) -> dict[Place, int]:
    return {place: offset[0] for place, offset in offsets.items() if not isinstance(offset, Unanswered)}


def _each(asked: Mapping[_K, Any], what: Callable[[Any], _T]) -> dict[_K, _T | Unanswered]:
    """What became of each of these questions; what is not there is left out."""
    found: dict[_K, _T | Unanswered] = {}
    for key, future in asked.items():
        try:
            found[key] = what(future.result(2 * TIMEOUT))
        except (KafkaException, TimeoutError) as error:
            if _name(error) not in NOT_THERE:
                found[key] = Unanswered(_said(error))
    return found


def _name(error: BaseException) -> str:
    return str(error.args[0].name()) if isinstance(error, KafkaException) else type(error).__name__


def _said(error: BaseException) -> str:
    if not isinstance(error, KafkaException):
        return str(error) or "it took too long"
    return (
        f"{error.args[0].str()}{RIGHTS}" if _name(error) == "TOPIC_AUTHORIZATION_FAILED" else str(error.args[0].str())
    )


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

    def __init__(self, gauge: Gauge, servers: str) -> None:
        self._gauge = gauge
        self._servers = servers

    async def look(self, places: Collection[Place], at: Mapping[Place, int]) -> dict[Place, Seen]:
        return await asyncio.to_thread(self._gauge.look, places, at)

    async def partitions(self, topics: Collection[str]) -> dict[str, int]:
        return await asyncio.to_thread(self._gauge.partitions, topics)

    async def settled(self, place: Place, start: int, end: int) -> Settled:
        return await asyncio.to_thread(settled, self._servers, place, start, end)

    async def first_since(self, places: Collection[Place], at_ms: int) -> dict[Place, int]:
        return await asyncio.to_thread(self._gauge.first_since, places, at_ms)

    async def delete_before(self, offsets: Mapping[Place, int], topic_ids: Mapping[str, str]) -> None:
        await asyncio.to_thread(self._gauge.delete_before, offsets, topic_ids)
