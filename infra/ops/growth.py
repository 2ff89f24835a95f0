"""More partitions for a context: its log is copied into a new topic, events, ids and order per key kept.

The partition of a key depends on the number of partitions, so a log cannot grow in place. The old log is sealed first, by a
record that every writer has to take notice of: what anybody appends after it is void, and who reads it stops. Then

    1. what the context has begun is finished; what its listeners had not reacted to, they react to; what projections had not read, they read;
    2. the accepted records are copied, merged by the time they were recorded, and compared key by key with what they were;
    3. readers' positions are set to the end of the copy, and `weft.topics` says that it is the log from now on.

Every step may be done again: whoever was interrupted runs the same command once more.
"""

import asyncio
import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from infra.errors import Fenced, LogDamaged, Unusable
from infra.kafka import reading, topics
from infra.kafka.log import Producer as Appender
from infra.kafka.log import until_known
from infra.kafka.reading import Place
from infra.kafka.topics import GROWN_TOPIC, HEARD_TOPIC, TIMEOUT
from infra.mesh import Growth, Mesh
from infra.messages import LOG_KEEPING, Begun, Moved, Opened
from infra.model.context import Context
from infra.model.projection import Projection
from infra.ops.finish import finish, hear
from infra.ops.keeping import Last, append, of_itself
from infra.ops.positions import listener
from infra.read import analytics, postgres, tables
from infra.read.fold import Fold
from infra.read.tables import Store
from infra.settings import Settings, address
from infra.wire.avro import Codec
from infra.wire.envelope import ID, Way, copied_headers, is_accepted, moved_from
from infra.wire.inbound import Inbound, id_by_place
from infra.wire.limits import MAX_BATCH_BYTES
from infra.wire.record import Outgoing, Read, partition_of, with_header

AT_ONCE = 2000  # records, copied together
Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """The topic a log is copied into."""

    context: Context
    topic: str
    partitions: int


# -- what the copy is: pure


def first_records(
    codec: Codec, source: str, target: Target, number: int, inbound: Inbound, begun: Iterable[str] = ()
) -> list[Outgoing]:
    """The first records of partition `number`: where its owner goes on reading commands, by each way, of which topic, and where its policy began."""
    place = target.topic, number
    first = [
        of_itself(
            codec,
            Opened(moved_from=source, cursor=inlet.cursor),
            target.context,
            place,
            offset,
            0,
            (way, inlet.cursor - 1),
            inlet.topic_id,
        )
        for offset, (way, inlet) in enumerate((way, inbound.inlet(way)) for way in Way)
    ]
    if places := tuple(sorted(begun)):
        first.append(of_itself(codec, Begun(places=places), target.context, place, len(first), 0))
    return first


def seal(codec: Codec, target: Target, place: Place, offset: int, at: int) -> Outgoing:
    """The last record of a partition of the old log, which ends at `offset`."""
    event = Moved(to=target.topic, partitions=target.partitions)
    return of_itself(codec, event, target.context, place, offset, at)


def copy_of(record: Read, offset: int, topic_id: str) -> Outgoing:
    """An accepted event of the topic of this id as it stands at `offset` of the copy: the same but for where it is."""
    place = f"{topic_id}/{record.partition}/{record.offset}".encode()
    return Outgoing(record.key, record.value, copied_headers(record.headers, place, offset), record.timestamp)


def target_of(record: Read, partitions: int) -> int:
    """Where an event belongs among so many partitions; one without a key stays where it was, as far as that is there."""
    return partition_of(record.key, partitions) if record.key else record.partition % partitions


def asked_again(record: Read, partitions: int) -> tuple[int, Outgoing]:
    """What a context asked itself and has not decided, as it is asked again, and where that belongs among so many partitions."""
    headers = dict(record.headers)
    moved = moved_from(record.headers, record.partition)
    named = moved if headers.get(ID) else with_header(moved, ID, id_by_place(record))
    return target_of(record, partitions), Outgoing(record.key, record.value, named)


def is_copied(codec: Codec, record: Read) -> bool:
    """Whether a record of the old log is in the copy: it counts, and is not what that log said of itself."""
    return is_accepted(record) and (record.value or b"")[:5] not in {codec.prefix_of(t) for t in LOG_KEEPING}


class Fingerprints:
    """Of each key's events, in order: their ids, contents and times; those without a key stay in their partition's order."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._hashes: dict[bytes | int, Any] = {}  # by key, or by the partition of those without one
        self.events = 0

    def add(self, record: Read) -> None:
        if is_copied(self._codec, record):
            self.events += 1
            identity = dict(record.headers).get(ID) or b""
            events = self._hashes.setdefault(record.key or record.partition, sha256())
            events.update(b"%b\0%d\0%b\0" % (identity, record.timestamp, record.value or b""))

    def differ(self, other: "Fingerprints") -> list[bytes | int]:
        """The keys, or partitions of keyless events, that have not the same events in both."""
        mine, theirs = ({key: h.digest() for key, h in log._hashes.items()} for log in (self, other))
        return [key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)]


# -- doing it


def grow(settings: Settings, mesh: Mesh, name: str, partitions: int, say: Say) -> tuple[int, Mesh]:
    """Give a context's topics so many partitions; returns how many events were copied, and the mesh as it is now.

    Its workers, and those of whoever hears it, have to be stopped. Raises Unusable if something stands in the way, and
    LogDamaged if the copy is not what it was copied from; nothing reads it then.
    """
    context = mesh.context(name)
    count = context.partition_count(settings)
    if partitions <= count:
        raise Unusable(f"{name} has {count} partitions: a log can only grow")
    with topics.admin(settings) as admin:
        return _grow(settings, mesh, admin, context, partitions, say)


def _grow(
    settings: Settings, mesh: Mesh, admin: AdminClient, context: Context, partitions: int, say: Say
) -> tuple[int, Mesh]:
    _must_be_stopped(admin, mesh, context)
    target = Target(context, f"{context.name}.events.{context.generation + 1}", partitions)
    with reading.opened(settings) as client:
        _try(settings, admin, target)
        say(f"finishing what {context.name} has begun")
        asyncio.run(finish(settings, mesh, client, context))
        places = reading.partitions_of(client, [context.events_topic])
        say(f"sealing {context.events_topic}")
        sealed = asyncio.run(_seal(settings, mesh.codec, client, target, places))
        ends = {place: known.end for place, known in sealed.items()}
        say("letting listeners react and projections read to its end")
        asyncio.run(_react(settings, mesh, client, context, ends))
        asyncio.run(_project(settings, mesh, client, context, ends))
        left = _left(client, context, sealed)
        for place, known in sealed.items():
            known.inbound.pass_to(Way.OWN, left[place[1]][1])
        say(f"copying into {target.topic}")
        before = asyncio.run(_copy(settings, mesh.codec, admin, target, sealed))
        copy_ends = reading.ends(client, reading.partitions_of(client, [target.topic]))
        say("comparing")
        _compare(client, mesh.codec, before, copy_ends)
        asyncio.run(_set_positions(settings, mesh, context, target, copy_ends))
        for topic in _widened(context):
            _widen(admin, topic, partitions)
        asyncio.run(_ask_again(settings, client, target, left))
    asyncio.run(_move_cursors(settings, mesh, context, target, copy_ends))
    growth = Growth(context.generation + 1, target.partitions)
    _write_down(settings, admin, context, growth)
    grown = mesh.grown({**mesh.growth, context.name: growth})
    asyncio.run(analytics.tell_topics(address(settings, "postgres"), grown))
    return before.events, grown


def _must_be_stopped(admin: AdminClient, mesh: Mesh, context: Context) -> None:
    """Nobody may be at work who writes this log or reacts to it."""
    if busy := topics.at_work(admin, (context, *mesh.listeners(context))):
        raise Unusable(
            f"{', '.join(busy)} is at work: stop the workers first, and leave Kafka and Postgres running (an embedded mesh: `weft down`)"
        )


def _new_topic(settings: Settings, target: Target) -> NewTopic:
    config = topics.configs(target.context, settings)[target.context.events_topic]
    return NewTopic(target.topic, target.partitions, settings.replication, config=config)


def _try(settings: Settings, admin: AdminClient, target: Target) -> None:
    """What the broker refuses it refuses before anything is sealed: there is no way back then."""
    known = admin.list_topics(timeout=TIMEOUT).topics
    tried: list[tuple[str, Future[Any]]] = []
    if target.topic not in known:
        tried += admin.create_topics([_new_topic(settings, target)], validate_only=True).items()
    for topic in _widened(target.context):
        if len(known[topic].partitions) < target.partitions:
            tried += admin.create_partitions([NewPartitions(topic, target.partitions)], validate_only=True).items()
    for topic, future in tried:
        try:
            future.result(TIMEOUT)
        except KafkaException as error:
            raise Unusable(f"{topic} cannot have {target.partitions} partitions: {error.args[0].str()}") from error


def _widened(context: Context) -> tuple[str, str, str]:
    """The topics of a context that get partitions as they are."""
    return context.commands_topic, context.own_topic, context.dead_topic


async def _seal(
    settings: Settings, codec: Codec, client: Consumer, target: Target, places: list[Place]
) -> dict[Place, Last]:
    """End every partition of the old log, if it has not ended before; how each ends."""

    def record_at(known: Last, place: Place) -> Outgoing | None:
        if known.moved is None:
            return seal(codec, target, place, known.end, known.at)
        if known.moved.partitions != target.partitions:
            raise Unusable(
                f"{place[0]} was sealed for {known.moved.partitions} partitions by an earlier run: finish that, with --partitions {known.moved.partitions}"
            )
        return None

    appender = Appender(address(settings, "kafka"), "weft-grow")
    try:
        return {p: await append(appender, client, codec, p, partial(record_at, place=p)) for p in places}
    finally:
        await appender.stop()


async def _react(
    settings: Settings,
    mesh: Mesh,
    client: Consumer,
    context: Context,
    ends: Mapping[Place, int],
) -> None:
    """Post what listeners would have asked themselves because of events they have not heard yet; asking twice is asking once."""
    appender = Appender(address(settings, "kafka"), "weft-grow")
    try:
        for listener in mesh.listeners(context):
            await hear(settings, mesh, client, appender, listener, ends)
    finally:
        await appender.stop()


def _left(client: Consumer, context: Context, sealed: Mapping[Place, Last]) -> dict[int, tuple[int, int]]:
    """What of each partition of its own topic a context has not decided: only where it was at work after some were sealed."""
    bounds = {number: reading.bounds(client, (context.own_topic, number)) for _, number in sealed}
    return {n: (max(bounds[n][0], known.inbound.cursors[Way.OWN]), bounds[n][1]) for (_, n), known in sealed.items()}


async def _ask_again(settings: Settings, client: Consumer, target: Target, left: Mapping[int, tuple[int, int]]) -> None:
    """What was not decided is asked again where it belongs now, before anybody asks more."""
    own = target.context.own_topic
    start = {(own, number): low for number, (low, end) in left.items() if low < end}
    appender = Appender(address(settings, "kafka"), "weft-grow")
    try:
        for records in reading.read_all(client, start, {place: left[place[1]][1] for place in start}):
            moved = [asked_again(record, target.partitions) for record in records]
            await until_known(partial(appender.send, own, moved))
    finally:
        await appender.stop()


async def _project(
    settings: Settings, mesh: Mesh, client: Consumer, context: Context, ends: Mapping[Place, int]
) -> None:
    """Bring every projection of this log to its end; whose projector still runs may do it instead."""
    for projection in mesh.projections.values():
        if context.events_topic not in mesh.topics_of(projection):
            continue
        async with postgres.connection(address(settings, "postgres")) as db:
            while not await _is_at(db, projection, context, ends):
                try:
                    await _bring(settings, mesh.codec, client, db, projection, context, ends)
                except Fenced:
                    await asyncio.sleep(0.5)


async def _is_at(db: Any, projection: Projection, context: Context, ends: Mapping[Place, int]) -> bool:
    """Whether a projection has read all of this log, or was moved on to its copy by an earlier run."""
    positions = await tables.position(db, projection.schema)
    moved = any(topic.startswith(f"{context.events_topic}.") for topic, _ in positions)
    return moved or all(positions.get(place, ("", 0))[1] >= end for place, end in ends.items())


async def _bring(
    settings: Settings,
    codec: Codec,
    client: Consumer,
    db: Any,
    projection: Projection,
    context: Context,
    ends: Mapping[Place, int],
) -> None:
    fold, store = Fold(projection, codec), Store(db, projection)
    before = await store.load()
    ids = reading.topic_ids(address(settings, "kafka"), [context.events_topic])
    start = {place: before.get(place, ("", 0))[1] for place in ends}
    for records, positions in reading.read_to(client, start, ends, fold.unwanted):
        await store.commit(fold, fold.batch(records, positions), ids)


async def _copy(
    settings: Settings,
    codec: Codec,
    admin: AdminClient,
    target: Target,
    sealed: Mapping[Place, Last],
) -> Fingerprints:
    """Copy the accepted records of all partitions, merged by time; what an interrupted run has left is copied anew."""
    source = target.context.events_topic
    if target.topic in admin.list_topics(timeout=TIMEOUT).topics:
        admin.delete_topics([target.topic], operation_timeout=TIMEOUT)[target.topic].result(TIMEOUT)
        while target.topic in admin.list_topics(timeout=TIMEOUT).topics:
            await asyncio.sleep(0.1)
    new_topic = _new_topic(settings, target)
    admin.create_topics([new_topic], operation_timeout=TIMEOUT)[target.topic].result(TIMEOUT)
    before = Fingerprints(codec)
    appender = Appender(address(settings, "kafka"), "weft-grow")
    (topic_id,) = reading.topic_ids(address(settings, "kafka"), [source]).values()
    inbound = {number: Inbound() for number in range(target.partitions)}
    inbound |= {number: known.inbound for (_, number), known in sealed.items()}
    begun = {place for known in sealed.values() for place in known.begun}
    writing = {n: first_records(codec, source, target, n, inbound[n], begun) for n in inbound}
    written = dict.fromkeys(writing, 0)
    sizes = dict.fromkeys(writing, 0)

    async def write(number: int) -> None:
        landed = await appender.append(target.topic, number, writing[number])
        if landed != written[number]:
            raise LogDamaged(
                f"somebody else writes to {target.topic}/{number}: run the command again when they have stopped"
            )
        written[number] += len(writing[number])
        writing[number], sizes[number] = [], 0

    try:
        for record in _by_time(settings, codec, {place: known.end for place, known in sealed.items()}):
            before.add(record)
            number = target_of(record, target.partitions)
            copy = copy_of(record, written[number] + len(writing[number]), topic_id)
            if len(writing[number]) >= AT_ONCE or sizes[number] + copy.size() > MAX_BATCH_BYTES:
                await write(number)
            writing[number].append(copy)
            sizes[number] += copy.size()
        for number in list(writing):
            if writing[number]:
                await write(number)
    finally:
        await appender.stop()
    return before


def _by_time(settings: Settings, codec: Codec, ends: Mapping[Place, int]) -> Iterator[Read]:
    """What is to be copied of all partitions, as they were recorded: times never go back, and the order of each partition is kept."""

    def partition(place: Place) -> Iterator[Read]:
        with reading.opened(settings) as client:
            for records in reading.read_all(client, {}, {place: ends[place]}):
                yield from (r for r in records if is_copied(codec, r))

    return heapq.merge(*map(partition, ends), key=lambda r: (r.timestamp, r.partition, r.offset))


def _compare(client: Consumer, codec: Codec, before: Fingerprints, ends: Mapping[Place, int]) -> None:
    after = Fingerprints(codec)
    for records in reading.read_all(client, {}, ends):
        for record in records:
            after.add(record)
    if differing := before.differ(after):
        raise LogDamaged(
            f"the copy has other events of {len(differing)} keys or keyless partitions, such as {differing[0]!r}; it is not used"
        )


def _widen(admin: AdminClient, topic: str, partitions: int) -> None:
    if len(admin.list_topics(topic, timeout=TIMEOUT).topics[topic].partitions) < partitions:
        admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(TIMEOUT)


async def _set_positions(
    settings: Settings, mesh: Mesh, context: Context, target: Target, ends: Mapping[Place, int]
) -> None:
    """Listeners have heard everything that is in the copy."""
    ids = reading.topic_ids(address(settings, "kafka"), [target.topic])
    appender = Appender(address(settings, "kafka"), "weft-grow")
    try:
        for who in mesh.listeners(context):
            known = listener(settings, mesh, who)
            grown = replace(known, topic_ids={**known.topic_ids, **ids})
            await appender.send(HEARD_TOPIC, [(0, grown.record(place, end)) for place, end in ends.items()])
    finally:
        await appender.stop()


async def _move_cursors(
    settings: Settings, mesh: Mesh, context: Context, target: Target, ends: Mapping[Place, int]
) -> None:
    """Projections have read everything that is in the copy: all of them at once, or none."""
    ids = reading.topic_ids(address(settings, "kafka"), [target.topic])
    async with postgres.connection(address(settings, "postgres")) as db, db.transaction():
        for projection in mesh.projections.values():
            if context.events_topic in mesh.topics_of(projection):
                await db.execute(f"UPDATE {projection.schema}.head SET version = version + 1")
                await db.execute(
                    f"DELETE FROM {projection.schema}.cursor WHERE topic = ANY($1)",
                    [context.events_topic, target.topic],
                )
                await tables.move(db, projection.schema, ends, ids, ends)


def _write_down(settings: Settings, admin: AdminClient, context: Context, growth: Growth) -> None:
    """From now on whoever starts finds the grown topic."""
    if GROWN_TOPIC not in admin.list_topics(timeout=TIMEOUT).topics:
        new_topic = NewTopic(GROWN_TOPIC, 1, settings.replication, config={"cleanup.policy": "compact"})
        admin.create_topics([new_topic], operation_timeout=TIMEOUT)[GROWN_TOPIC].result(TIMEOUT)
    producer = Producer({"bootstrap.servers": address(settings, "kafka"), "enable.idempotence": True, "log_level": 0})
    producer.produce(GROWN_TOPIC, json.dumps(vars(growth)).encode(), context.name.encode(), 0)
    if producer.flush(TIMEOUT):
        raise Unusable("Kafka did not take the note that the topic was grown: run the same command again")
