"""Kafka and Postgres in containers, on the official images: WEFT_TEST_BACKEND=containers."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy


class Kafka(DockerContainer):
    """apache/kafka, one KRaft node. The advertised address has to be known before the start, so the host's port is chosen here."""

    def __init__(self) -> None:
        super().__init__("apache/kafka:4.3.1")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.with_bind_ports(9092, self.port)
        for name, value in {
            "KAFKA_NODE_ID": "1",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_LISTENERS": "PLAINTEXT://:9092,BROKER://:19092,CONTROLLER://:9093",
            "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{self.port},BROKER://localhost:19092",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "KAFKA_INTER_BROKER_LISTENER_NAME": "BROKER",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        }.items():
            self.with_env(name, value)
        self.waiting_for(LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(90))


@contextmanager
def services() -> Iterator[dict[str, str]]:
    """The addresses of both, as settings."""
    with Kafka() as kafka, PostgresContainer("postgres:18", driver=None, password=secrets.token_hex(8)) as postgres:
        yield {"kafka": f"127.0.0.1:{kafka.port}", "postgres": postgres.get_connection_url()}
