"""The topics of a mesh: made as they have to be, and never used when they are not."""

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

import stamina
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicMetadata,
)

from infra.errors import Unknown, Unusable
from infra.kafka import reading
from infra.kafka.reading import Place
from infra.mesh import Growth
from infra.model.context import Context
from infra.settings import Settings, address
from infra.wire.limits import MAX_POSTED_BYTES
from infra.wire.record import Read

TIMEOUT = 15.0
GROWN_TOPIC = "weft.topics"
CIRCUITS_TOPIC = "weft.circuits"
HEARD_TOPIC = "weft.heard"
STOPPED_TOPIC = "weft.stopped"
EFFECTS_TOPIC = "weft.effects"
RETENTION = ("retention.ms", "retention.bytes")
SIZE = "max.message.bytes"
UNCLEAN = "unclean.leader.election.enable"
IN_SYNC = "min.insync.replicas"
LATEST = "message.timestamp.after.max.ms"
KIND = "message.timestamp.type"
AT_LEAST = (SIZE, IN_SYNC)  # of which a topic may have more
COMPACTED = {
    "cleanup.policy": "compact",
    SIZE: "2097152",
    "segment.bytes": str(1 << 20),  # read whole at every start, so it has to be compacted soon
    "min.cleanable.dirty.ratio": "0.1",
}


@contextmanager
def admin(settings: Settings) -> Iterator[AdminClient]:
    """An admin client whose broker answered, closed afterwards; otherwise a clear error within seconds.

    Closed by who opened it: left to the collector, its own thread may be the one that destroys it, and the process with it.
    """
    servers = address(settings, "kafka")
    with AdminClient(
        {"bootstrap.servers": servers, "log_level": 0, "socket.connection.setup.timeout.ms": 5000}
    ) as client:
        try:
            client.list_topics(timeout=5)
        except KafkaException as error:
            raise Unusable(
                f"Kafka does not answer at {servers}: {error.args[0].str()}. Is it running, and is WEFT_KAFKA right?"
            ) from error
        yield client


def growth(settings: Settings) -> dict[str, Growth]:
    """What `weft topics grow` has written down: the latest of each context counts."""
    with reading.opened(settings) as client:
        records = [r for batch in reading.read_whole(client, [GROWN_TOPIC]) for r in batch]
    return {(r.key or b"").decode(): Growth(**json.loads(r.value or b"")) for r in records}


def make_heard(settings: Settings) -> None:
    """Create `weft.heard`, if it is missing."""
    with admin(settings) as client:
        if HEARD_TOPIC not in client.list_topics(timeout=TIMEOUT).topics:
            _create(client, [NewTopic(HEARD_TOPIC, 1, settings.replication, config=COMPACTED)])


@stamina.retry(on=Unknown, timeout=TIMEOUT)  # a topic that was just made has no leader yet
def heard_positions(settings: Settings) -> list[Read]:
    """What there is of `weft.heard`."""
    with reading.opened(settings) as client:
        return [record for batch in reading.read_whole(client, [HEARD_TOPIC]) for record in batch]


@stamina.retry(on=Unknown, timeout=TIMEOUT)
def tried_effects(settings: Settings) -> list[Read] | None:
    """What there is of `weft.effects`; None if there is no such topic."""
    with reading.opened(settings) as client:
        if not reading.partitions_of(client, [EFFECTS_TOPIC]):
            return None
        return [record for batch in reading.read_whole(client, [EFFECTS_TOPIC]) for record in batch]


def configs(context: Context, settings: Settings) -> dict[str, dict[str, str]]:
    """Each topic of a context with its configuration. Events are never deleted and never compacted: they are the truth.

    They are recorded at a time of their own, which a broker whose clock was ahead has led to: none is refused for it (KIP-937).
    """
    safe = {UNCLEAN: "false"} | ({IN_SYNC: "2"} if settings.replication > 1 else {})
    commands = {
        "cleanup.policy": "delete",
        "retention.ms": "-1",  # what is decided is deleted behind the cursor, by who decides it
        "retention.bytes": "-1",
        SIZE: str(MAX_POSTED_BYTES),
        KIND: "LogAppendTime",
        **safe,
    }
    return {
        context.events_topic: {
            "cleanup.policy": "delete",
            "retention.ms": "-1",
            "retention.bytes": "-1",
            SIZE: "2097152",
            KIND: "CreateTime",
            LATEST: str((1 << 63) - 1),
            **safe,
        },
        context.commands_topic: commands,
        context.own_topic: commands,
        context.dead_topic: {
            "cleanup.policy": "delete",
            "retention.ms": "-1",  # whoever waits there has to be dealt with, not forgotten
            SIZE: "2097152",
            **safe,
        },
    }


def prepare(settings: Settings, contexts: Collection[Context]) -> None:
    """Create the topics that are missing, then check all."""
    with admin(settings) as client:
        _create_missing(client, settings, contexts)
        _mend(client, settings, contexts)
        _check(client, settings, contexts)


def _create_missing(client: AdminClient, settings: Settings, contexts: Collection[Context]) -> None:
    existing = client.list_topics(timeout=TIMEOUT).topics
    wanted = [
        NewTopic(topic, context.partition_count(settings), settings.replication, config=config)
        for context in contexts
        for topic, config in configs(context, settings).items()
        if topic not in existing
    ]
    for topic in (CIRCUITS_TOPIC, HEARD_TOPIC, STOPPED_TOPIC, EFFECTS_TOPIC):
        if topic not in existing:
            wanted.append(NewTopic(topic, 1, settings.replication, config=COMPACTED))
    if wanted:
        _create(client, wanted)
    _allow_batches(client, [topic for topic in (CIRCUITS_TOPIC, HEARD_TOPIC) if topic in existing])


def _allow_batches(client: AdminClient, names: Iterable[str]) -> None:
    """Topics that were made for small batches take those we send: a context may hear many partitions."""
    for topic in names:
        entry = ConfigEntry(
            SIZE,
            COMPACTED[SIZE],
            incremental_operation=AlterConfigOpType.SET,
        )
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        client.incremental_alter_configs([resource])[resource].result(TIMEOUT)


def _mend(client: AdminClient, settings: Settings, contexts: Collection[Context]) -> None:
    """Give topics of before what they have to have by now: commands that do not expire, events of any time, safe elections."""
    there = _known(client, [topic for context in contexts for topic in configs(context, settings)])
    wanted = {}
    for context in contexts:
        for topic, config in configs(context, settings).items():
            left = {KIND, "cleanup.policy"}  # what is there was written otherwise: for whoever runs it to decide
            if _is_alone(there[topic]):
                left.add(IN_SYNC)  # nobody could write there any more
            if topic in (context.events_topic, context.dead_topic):
                left |= {*RETENTION}  # to be said, as it may have lost what nobody can bring back
            wanted[topic] = {name: value for name, value in config.items() if name not in left}
    found = _described(client, wanted)
    changing = []
    for topic, config in wanted.items():
        changes = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in config.items()
            if not _is_so(name, found[topic][name], value)
        ]
        if changes:
            changing.append(ConfigResource(ResourceType.TOPIC, topic, incremental_configs=changes))
    if changing:
        for future in client.incremental_alter_configs(changing).values():
            future.result(TIMEOUT)


@stamina.retry(on=Unknown, timeout=TIMEOUT)  # not every broker knows a topic that was made a moment ago
def _known(client: AdminClient, topics: Iterable[str]) -> dict[str, TopicMetadata]:
    """What there is, these topics among it."""
    there = client.list_topics(timeout=TIMEOUT).topics
    if missing := [topic for topic in topics if topic not in there]:
        raise Unknown(f"{missing[0]} was made, and is not known yet")
    return there


def _is_alone(topic: TopicMetadata) -> bool:
    """Whether there is one replica only of a part of it."""
    return any(len(partition.replicas) < 2 for partition in topic.partitions.values())


def _is_so(name: str, actual: str | None, wanted: str) -> bool:
    return actual == wanted or (name in AT_LEAST and int(actual or 0) > int(wanted))


@stamina.retry(on=Unknown, timeout=TIMEOUT)  # not every broker knows a topic that was made a moment ago
def _described(client: AdminClient, topics: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """The configuration of each of these topics."""
    found = client.describe_configs([ConfigResource(ResourceType.TOPIC, topic) for topic in topics])
    try:
        return {
            resource.name: {name: entry.value for name, entry in future.result(TIMEOUT).items()}
            for resource, future in found.items()
        }
    except KafkaException as error:
        if error.args[0].name() == "UNKNOWN_TOPIC_OR_PART":
            raise Unknown(f"a topic that was made is not known yet: {error.args[0].str()}") from error
        raise


def _create(client: AdminClient, wanted: list[NewTopic]) -> None:
    for topic, future in client.create_topics(wanted, operation_timeout=TIMEOUT).items():
        try:
            future.result(TIMEOUT)
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                raise Unusable(f"cannot create the topic {topic}: {error.args[0].str()}") from error


def at_work(client: AdminClient, contexts: Iterable[Context]) -> list[str]:
    """Those of which a worker is in its group."""
    busy = []
    for c in {c.name: c for c in contexts}.values():
        try:
            if client.describe_consumer_groups([c.group], request_timeout=TIMEOUT)[c.group].result().members:
                busy.append(c.name)
        except KafkaException:
            pass  # nobody has ever run it
    return busy


def committed(settings: Settings, context: Context, places: Iterable[Place]) -> dict[Place, int]:
    """How far the workers of a context have read these partitions, as they last said; 0 where they have not.

    Asked as one of the group who never joins it. An admin client that asks before the group has a coordinator, or loses it,
    ends the process: librdkafka 2.16 takes a group of its own for granted (rd_kafka_handle_OffsetFetch).
    """
    partitions = [TopicPartition(*place) for place in places]
    with reading.opened(settings, group=context.group) as client:
        offsets = reading.asking(lambda: client.committed(partitions, timeout=TIMEOUT)) if partitions else []
    return {(tp.topic, tp.partition): max(tp.offset, 0) for tp in offsets}


def check(settings: Settings, contexts: Iterable[Context]) -> None:
    """Raise Unusable unless every topic is there, with the partitions and the configuration the rule depends on.

    A topic of commands that has others than its log is told by who watches it, and stops nobody else.
    """
    with admin(settings) as client:
        _check(client, settings, contexts)


def _check(client: AdminClient, settings: Settings, contexts: Iterable[Context]) -> None:
    existing = client.list_topics(timeout=TIMEOUT).topics
    for context in contexts:
        for topic, config in configs(context, settings).items():
            if topic not in existing:
                raise Unusable(
                    f"the topic {topic} does not exist at {settings.kafka}; create the mesh's topics with `weft setup`"
                )
            count = len(existing[topic].partitions)
            wanted = context.partition_count(settings)
            if topic == context.events_topic and count != wanted:
                raise Unusable(
                    f"{topic} has {count} partitions, there should be {wanted}: set WEFT_PARTITIONS={count}; `weft topics grow` is the way to have more"
                )
            actual_config = _described(client, [topic])[topic]
            for name in (_essential(context, topic) & config.keys()) - (
                {IN_SYNC} if _is_alone(existing[topic]) else set()
            ):
                if not _is_so(name, actual_config[name], config[name]):
                    raise Unusable(
                        f"{topic} has {name}={actual_config[name]}, it has to be {config[name]}; mend it with `weft setup` or kafka-configs"
                    )


def _essential(context: Context, topic: str) -> set[str]:
    """What of a topic's configuration the rule depends on."""
    if topic == context.dead_topic:
        return set()
    ours = {"cleanup.policy", LATEST} if topic == context.events_topic else set()
    return {KIND, UNCLEAN, IN_SYNC, *RETENTION, *ours}


def torn(settings: Settings, contexts: Iterable[Context]) -> list[str]:
    """What is to be said of command topics that have other partitions than their logs: nobody but an operator can mend that."""
    with admin(settings) as client:
        existing = client.list_topics(timeout=TIMEOUT).topics
    found = []
    for context in contexts:
        wanted = context.partition_count(settings)
        for topic in (context.commands_topic, context.own_topic):
            if topic in existing and (count := len(existing[topic].partitions)) != wanted:
                found.append(
                    f"{topic} has {count} partitions, its log has {wanted}: {context.name} stands still there. Delete {topic}, run "
                    f"`weft setup` again, and then `weft topics accept {context.name}`; what is asked there has to be asked again"
                )
    return found
