"""A worker that starts again goes on from its stores, and a store is never believed over the log."""

import signal
import subprocess
import time

import pytest

from infra.shop import demo
from infra.shop.mesh import mesh
from tests.live.harness import LiveMesh, until
from tests.live.shop import audit, place, row, saga, until_at_rest, until_set_up


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
