"""A worker that starts again goes on from its stores, and a store is never believed over the log."""

import json
import signal
import subprocess
import time
from typing import Any

import pytest
from confluent_kafka import Producer

from infra.kafka import reading
from infra.ops.keeping import last
from infra.shop import demo
from infra.shop.mesh import mesh
from infra.wire.envelope import EventEnvelope, Way
from tests.live.harness import LiveMesh, until
from tests.live.shop import audit, place, registered, row, saga, until_at_rest, until_set_up
from tests.live.weft import weft


def ready(live: LiveMesh, worker: subprocess.Popen[bytes]) -> dict[str, dict[str, dict[str, int]]]:
    """What each context said when it was ready: where it resumed and where it is, by partition."""
    live.ready(worker)
    return {line["context"]: line for line in live.said(worker, "ready")}


@pytest.mark.timeout(180)
def test_a_worker_resumes_from_its_stores_and_everything_adds_up(own_mesh: LiveMesh) -> None:
    live = own_mesh
    worker = live.worker()
    live.ready(worker)
    until_set_up(live)
    live.post(list(demo.commands(mesh, 60, seed=11)))
    until_at_rest(live, 60)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    # when it starts again, nothing is folded anew
    again = live.worker()
    report = ready(live, again)["orders"]
    assert report["resumed"] == report["partitions"]
    assert sum(report["resumed"].values()) > 300
    # and when it is killed in the middle of its work, with stores that are behind the log, nothing is lost
    live.post(list(demo.commands(mesh, 200, seed=12)))
    again.kill()
    again.wait()
    live.ready(live.worker())
    until_at_rest(live, 260)
    _, wrong = audit(live)
    assert wrong == []


@pytest.mark.timeout(120)
def test_a_deadline_outlives_the_worker_that_set_it(own_mesh: LiveMesh) -> None:
    live = own_mesh
    worker = live.worker()
    live.ready(worker)
    until_set_up(live)
    # given an order whose payment nobody answers, and whose patience is over while nobody runs
    place(live, "patient-1", customer_id="customer-000", card="card_stuck", patience_s=3)
    row(live, "SELECT 1 FROM orders WHERE order_id = 'patient-1'")
    worker.kill()
    worker.wait()
    time.sleep(4)
    # when a worker starts, it fires at once
    live.ready(live.worker())
    end = saga(live, "patient-1", "done")
    assert (end["outcome"], end["code"]) == ("cancelled", "expired")


@pytest.mark.timeout(120)
def test_of_three_processes_each_has_partitions_and_each_partition_has_one(own_mesh: LiveMesh) -> None:
    live = own_mesh
    workers = [live.worker("orders") for _ in range(3)]

    def shares() -> list[list[str]]:
        return [list(said[-1]["partitions"]) for worker in workers if (said := live.said(worker, "ready"))]

    until(lambda: sorted(map(len, shares())) == [1, 1, 2], 40, lambda: f"four partitions are shared: {shares()}")
    assert sorted(number for share in shares() for number in share) == ["0", "1", "2", "3"]


@pytest.mark.timeout(180)
def test_a_log_of_newer_code_stops_its_context_and_nobody_else(own_mesh: LiveMesh) -> None:
    live = own_mesh
    worker = live.worker()
    live.ready(worker)
    until_set_up(live)
    # given a log with an event that newer code has written
    codec, place = live.mesh.codec, ("orders.events", 0)
    with reading.opened(live.settings) as client:
        end = last(client, codec, place).end
    envelope = EventEnvelope("orders", *place, codec.types)
    shared = envelope.command_part(b"new", b"new", b"new", Way.OWN, -1, b"orders.New")
    headers = envelope.headers(shared, b"orders.Newer", end)
    producer = Producer({"bootstrap.servers": live.settings.kafka})
    producer.produce("orders.events", b"\0\0\0\x7f\xff\0", b"new", 0, headers=list(headers))
    assert producer.flush(20) == 0
    # then its context stands still and that is said, and others go on in the same process
    until(lambda: [s for s in stopped(live) if s["reason"].startswith("orders: ")], 40, "it is said")
    registered(live, "bob")
    assert worker.poll() is None
    # and a worker that starts is no worse
    worker.kill()
    worker.wait()
    again = live.worker()
    until(lambda: live.said(again, "stopped"), 40, "it stands still again")
    registered(live, "eve")
    assert again.poll() is None


def stopped(live: LiveMesh) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(weft(live, "status", "--json").stdout)["stopped"]
    return found
