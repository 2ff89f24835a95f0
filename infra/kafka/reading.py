"""Reading events topics outside Faust, with confluent-kafka: positions are the reader's own, no group is joined."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, NoReturn, TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from infra.errors import LogDamaged, Unknown
from infra.kafka.loss import check_beginning, check_end
from infra.settings import Settings, address
from infra.wire.record import BAD_NAME, UNREAD, Headers, Read, when

Place = tuple[str, int]
Unwanted = frozenset[bytes]
NOTHING: Unwanted = frozenset()
TIMEOUT = 10.0
NOT_IN_THE_LOG = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
_T = TypeVar("_T")


def consumer(servers: str, group: str = "weft-reader", **more: Any) -> Consumer:
    """A consumer that neither joins its group nor commits."""
    return Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,  # where it ends, also if nothing but marks of transactions stands there
            "isolation.level": "read_uncommitted",  # what counts in a log is said by its offset; others' open transactions stop nobody
            "auto.offset.reset": "error",
            "fetch.queue.backoff.ms": 5,  # the default sleeps a second once the local queue is full (librdkafka #2879)
            "fetch.wait.max.ms": 100,
            "log_level": 0,
            **more,
        }
    )


@contextmanager
def opened(settings: Settings, group: str = "weft-reader") -> Iterator[Consumer]:
    """A consumer on the broker of `settings`, closed afterwards."""
    client = consumer(address(settings, "kafka"), group)
    try:
        yield client
    finally:
        client.close()


def asking(call: Callable[[], _T]) -> _T:
    """The result of a client call; Unknown when the broker did not answer."""
    try:
        return call()
    except KafkaException as error:
        raise Unknown(f"Kafka did not answer: {error.args[0].str()}") from error


def partitions_of(client: Consumer, topics: Sequence[str]) -> list[Place]:
    """Every partition of these topics."""
    known = asking(lambda: client.list_topics(timeout=TIMEOUT)).topics
    return [(topic, p) for topic in topics for p in sorted(known[topic].partitions if topic in known else [])]


def topic_ids(servers: str, topics: Iterable[str]) -> dict[str, str]:
    """Kafka's own id of each topic: another one under the same name is another topic (KIP-516)."""
    with AdminClient({"bootstrap.servers": servers, "log_level": 0}) as admin:
        described = admin.describe_topics(TopicCollection(list(dict.fromkeys(topics))), request_timeout=TIMEOUT)
        return {topic: str(asking(future.result).topic_id) for topic, future in described.items()}


def bounds(client: Consumer, place: Place) -> tuple[int, int]:
    """The first offset that is still there, and the next one to come."""
    low, high = asking(partial(client.get_watermark_offsets, TopicPartition(*place), timeout=TIMEOUT))
    return low, high


def ends_of_any(client: Consumer, places: Sequence[Place]) -> dict[Place, int]:
    """The next offset of each partition, also of topics that may have lost their beginning."""
    return {place: bounds(client, place)[1] for place in places}


def ends(client: Consumer, places: Sequence[Place], positions: Mapping[Place, int] | None = None) -> dict[Place, int]:
    """The next offset of each partition; LogDamaged if one lost its beginning, or what `positions` have read before."""
    next_offsets: dict[Place, int] = {}
    for place in places:
        low, high = bounds(client, place)
        check_beginning(*place, low)
        check_end(*place, high, (positions or {}).get(place, 0))
        next_offsets[place] = high
    return next_offsets


def known_ends(client: Consumer, places: Iterable[Place]) -> dict[Place, int]:
    """The next offset of each partition as the last fetch said it; asks nobody."""
    return {place: client.get_watermark_offsets(TopicPartition(*place), cached=True)[1] for place in places}


def assign(client: Consumer, positions: Mapping[Place, int]) -> None:
    """Read from these positions on."""
    asking(lambda: client.list_topics(timeout=TIMEOUT))  # librdkafka looks up a topic it has not met half a second late
    client.assign([TopicPartition(topic, p, offset or OFFSET_BEGINNING) for (topic, p), offset in positions.items()])


def poll(
    client: Consumer, most: int, timeout: float, unwanted: Unwanted = NOTHING
) -> tuple[list[Read], dict[Place, int]]:
    """What is there, as soon as anything is, and the position behind it; waits up to `timeout` seconds for the first.

    That may be the end of a partition, once it is reached. Those that are `unwanted`, by the first five bytes of their values,
    are passed over.
    """
    positions: dict[Place, int] = {}
    messages = []
    for message in messages_of(client, most, timeout):
        if error := message.error():
            if error.code() != KafkaError._PARTITION_EOF:
                _raise(error)
            positions[message.topic(), message.partition()] = message.offset()
        else:
            positions[message.topic(), message.partition()] = message.offset() + 1
            messages.append(message)
    if unwanted:
        messages = [message for message in messages if (message.value() or b"")[:5] not in unwanted]
    return list(map(read_of, messages)), positions


def messages_of(client: Consumer, most: int, timeout: float) -> list[Any]:
    """What is there, errors too, as soon as anything is; waits up to `timeout` seconds for the first."""
    first: list[Any] = client.consume(1, timeout)
    return first + client.consume(most - 1, 0) if first else first


def read_of(message: Any) -> Read:
    """A message of the client as a record."""
    m = message
    try:
        headers: Headers = m.headers() or ()
    except UnicodeDecodeError:
        headers = [(UNREAD, BAD_NAME)]
    return Read(m.topic(), m.partition(), m.offset(), m.timestamp()[1], m.key(), m.value(), headers)


def recorded(client: Consumer, positions: Mapping[Place, int]) -> dict[Place, datetime]:
    """When the record at each of these positions was recorded; of those whose record comes in time."""
    times: dict[Place, datetime] = {}
    ended: set[Place] = set()
    while left := {place: offset for place, offset in positions.items() if place not in times.keys() | ended}:
        assign(client, left)
        records, reached = poll(client, 1000, TIMEOUT)
        for record in records:
            times.setdefault((record.topic, record.partition), when(record.timestamp))
        if not reached:
            break
        ended |= reached.keys() - times.keys()
    return times


def read_to(
    client: Consumer, start: Mapping[Place, int], end: Mapping[Place, int], unwanted: Unwanted = NOTHING
) -> Iterator[tuple[list[Read], dict[Place, int]]]:
    """The records from `start` up to `end`, in batches, each with the position behind it; Unknown if the broker falls silent."""
    left = {place for place in end if start.get(place, 0) < end[place]}
    assign(client, {place: start.get(place, 0) for place in left})
    while left:
        records, positions = poll(client, 10_000, TIMEOUT, unwanted)
        if not positions:
            raise Unknown(f"Kafka is silent; still to be read: {sorted(left)}")
        reached = {place: end[place] for place, position in positions.items() if position >= end[place]}
        yield [r for r in records if r.offset < end[r.topic, r.partition]] if reached else records, positions | reached
        left -= reached.keys()


def read_all(client: Consumer, start: Mapping[Place, int], end: Mapping[Place, int]) -> Iterator[list[Read]]:
    """Every record from `start` up to `end`, in batches; Unknown if the broker falls silent."""
    for records, _ in read_to(client, start, end):
        yield records


def by_place(records: Iterable[Read]) -> dict[Place, list[Read]]:
    """The records of a batch, which may be of any partitions, by where they are; in order there."""
    places: dict[Place, list[Read]] = {}
    for record in records:
        places.setdefault((record.topic, record.partition), []).append(record)
    return places


def read_whole(client: Consumer, topics: Sequence[str]) -> Iterator[list[Read]]:
    """What there is of topics that may have lost their beginning, as commands and dead letters may."""
    offsets = {place: bounds(client, place) for place in partitions_of(client, topics)}
    yield from read_all(
        client,
        {place: low for place, (low, _) in offsets.items()},
        {place: high for place, (_, high) in offsets.items()},
    )


def _raise(error: KafkaError) -> NoReturn:
    if error.code() in NOT_IN_THE_LOG:
        raise LogDamaged(f"a position is not in the log any more: {error.str()}")
    raise Unknown(f"Kafka did not answer: {error.str()}")
