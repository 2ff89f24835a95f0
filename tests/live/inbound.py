"""Command topics that lose something, and what is said of them."""

import json
import subprocess
from typing import Any

from confluent_kafka.admin import NewTopic

from infra.kafka import topics
from tests.live.harness import LiveMesh, until
from tests.live.weft import weft

ORDERS = "orders.commands"


def at_work(live: LiveMesh) -> subprocess.Popen[bytes]:
    worker = live.worker()
    live.ready(worker)
    return worker


def make_anew(live: LiveMesh, topic: str, partitions: int | None = None) -> None:
    """The topic is deleted, and made again; with so many partitions, if it is not as many as its log has."""
    with topics.admin(live.settings) as admin:
        admin.delete_topics([topic])[topic].result(20)
        until(lambda: topic not in admin.list_topics(timeout=10).topics, 20, "the topic is gone")
        config = topics.configs(live.mesh.context("orders"), live.settings)[topic]
        admin.create_topics([NewTopic(topic, partitions or live.settings.partitions, 1, config=config)])[topic].result(
            20
        )


def stopped(live: LiveMesh) -> list[dict[str, Any]]:
    shown = weft(live, "status", "--json")
    found: list[dict[str, Any]] = json.loads(shown.stdout)["stopped"]
    assert shown.returncode == (1 if found else 0), shown.stderr
    return found


def errors(live: LiveMesh, worker: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in live.log_of(worker).read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == "stopped"]
