"""Command topics that lose something, and what is said of them."""

import json
import subprocess
from typing import Any

from confluent_kafka.admin import NewTopic

from infra.kafka import topics
from infra.kafka.inbound import Loss
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
    """What a worker said of places that wait for somebody; of those that only do not answer yet it warns."""
    return [line for line in live.said(worker, "stopped") if line["level"] == "error"]


def until_every_partition_stopped(live: LiveMesh, worker: subprocess.Popen[bytes], topic: str, loss: Loss) -> None:
    """Wait until it is so in the status, and was said in the log, of every partition of a topic.

    A worker that looks while the topic is being made may have said before that a partition is gone, or does not answer.
    """
    every = set(range(live.settings.partitions))
    all_of_it = {(topic, number, loss.name.lower()) for number in every}
    found: list[dict[str, Any]] = []

    def is_shown() -> bool:
        found[:] = stopped(live)
        return {(s["topic"], s["partition"], s["loss"]) for s in found} == all_of_it

    def is_said() -> bool:
        return {
            e["partition"] for e in errors(live, worker) if e["topic"] == topic and loss.value in e["reason"]
        } == every

    until(is_shown, 40, lambda: f"the status says {loss} of all: {found}\n{live.last_words()}")
    until(is_said, 20, lambda: f"the log says {loss} of all: {errors(live, worker)}\n{live.last_words()}")


def until_nothing_stopped(live: LiveMesh) -> None:
    """A worker that has not seen somebody's word yet says at its next look that it stands still."""
    found: list[dict[str, Any]] = []

    def is_shown() -> bool:
        found[:] = stopped(live)
        return not found

    until(is_shown, 30, lambda: f"nothing stands still: {found}\n{live.last_words()}")
