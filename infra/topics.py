"""The topics of a mesh: made as they have to be, and never used when they are not."""

from collections.abc import Iterable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from infra.circuits import CIRCUITS_TOPIC
from infra.context import Context
from infra.errors import Unusable
from infra.settings import Settings, address

TIMEOUT = 15.0
WEEK_MS = 7 * 86_400_000


def admin(settings: Settings) -> AdminClient:
    """An admin client whose broker answered; otherwise a clear error within seconds."""
    servers = address(settings, "kafka")
    client = AdminClient({"bootstrap.servers": servers, "log_level": 0, "socket.connection.setup.timeout.ms": 5000})
    try:
        client.list_topics(timeout=5)
    except KafkaException as error:
        raise Unusable(
            f"Kafka does not answer at {servers}: {error.args[0].str()}. Is it running, and is WEFT_KAFKA right?"
        ) from error
    return client


def configs(context: Context, settings: Settings) -> dict[str, dict[str, str]]:
    """Each topic of a context with its configuration. Events are never deleted and never compacted: they are the truth."""
    safe = {"min.insync.replicas": "2"} if settings.replication > 2 else {}
    return {
        context.events_topic: {
            "cleanup.policy": "delete",
            "retention.ms": "-1",
            "retention.bytes": "-1",
            "max.message.bytes": "2097152",
            **safe,
        },
        context.commands_topic: {
            "cleanup.policy": "delete",
            "retention.ms": str(WEEK_MS),
            "message.timestamp.type": "LogAppendTime",
            **safe,
        },
        context.dead_topic: {
            "cleanup.policy": "delete",
            "retention.ms": "-1",  # whoever waits there has to be dealt with, not forgotten
            "max.message.bytes": "2097152",
            **safe,
        },
    }


def prepare(settings: Settings, contexts: Iterable[Context]) -> None:
    """Create the topics that are missing, then check all."""
    client = admin(settings)
    contexts = list(contexts)
    existing = client.list_topics(timeout=TIMEOUT).topics
    wanted = [
        NewTopic(topic, settings.partitions, settings.replication, config=config)
        for context in contexts
        for topic, config in configs(context, settings).items()
        if topic not in existing
    ]
    if CIRCUITS_TOPIC not in existing:
        compacted = {"cleanup.policy": "compact", "max.message.bytes": "65536"}
        wanted.append(NewTopic(CIRCUITS_TOPIC, 1, settings.replication, config=compacted))
    if wanted:
        for topic, future in client.create_topics(wanted, operation_timeout=TIMEOUT).items():
            try:
                future.result(TIMEOUT)
            except KafkaException as error:
                if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                    raise Unusable(f"cannot create the topic {topic}: {error.args[0].str()}") from error
    check(settings, contexts)


def check(settings: Settings, contexts: Iterable[Context]) -> None:
    """Raise Unusable unless every topic is there, with the partitions and the configuration the rule depends on."""
    client = admin(settings)
    existing = client.list_topics(timeout=TIMEOUT).topics
    essential = {"cleanup.policy", "retention.ms", "retention.bytes", "message.timestamp.type"}
    for context in contexts:
        for topic, config in configs(context, settings).items():
            if topic not in existing:
                raise Unusable(
                    f"the topic {topic} does not exist at {settings.kafka}; create the mesh's topics with `weft setup`"
                )
            count = len(existing[topic].partitions)
            if topic != context.dead_topic and count != settings.partitions:
                raise Unusable(
                    f"{topic} has {count} partitions, the settings say {settings.partitions}: set WEFT_PARTITIONS={count}; the count of a topic is fixed for life"
                )
            if topic == context.commands_topic:
                essential_here = {"message.timestamp.type"}
            else:
                essential_here = essential - {"message.timestamp.type"} if topic == context.events_topic else set()
            resource = ConfigResource(ResourceType.TOPIC, topic)
            found = client.describe_configs([resource])[resource].result(TIMEOUT)
            for name in essential_here & config.keys():
                if found[name].value != config[name]:
                    raise Unusable(
                        f"{topic} has {name}={found[name].value}, it has to be {config[name]}; mend it with kafka-configs"
                    )
