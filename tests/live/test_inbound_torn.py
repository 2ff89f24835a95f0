"""A command topic that is made anew with other partitions than its log stands still for its context, and for nobody else."""

import subprocess

import pytest

from tests.live.harness import LiveMesh, until
from tests.live.inbound import ORDERS, at_work, make_anew, stopped, until_nothing_stopped
from tests.live.shop import answer, order, receipt, register, until_set_up
from tests.live.weft import printed, weft


def rebalanced(live: LiveMesh, worker: subprocess.Popen[bytes]) -> int:
    return sum(line["context"] == "orders" for line in live.said(worker, "ready"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [8, 1])
def test_other_partitions_stop_one_context_and_are_told(own_mesh: LiveMesh, count: int) -> None:
    live = own_mesh
    register(live, "ada")
    # given a process of all contexts
    worker = at_work(live)
    until_set_up(live)
    before = rebalanced(live, worker)
    # when a command topic of one is made anew with another number of partitions, and the group hears of it
    make_anew(live, ORDERS, count)
    until(lambda: rebalanced(live, worker) > before, 60, "the group hears of it")
    # then that way stands still, is told, and what to do
    found = until(lambda: [s for s in stopped(live) if s["loss"] == "torn"], 40, "it is said")
    assert {s["topic"] for s in found} == {ORDERS}
    assert f"the topic has {count} partitions, its log has 4" in found[0]["reason"]
    assert f"delete {ORDERS}, run `weft setup`" in weft(live, "status").stderr
    assert f"delete {ORDERS}, run `weft setup`" in weft(live, "verify", "orders").stdout
    refused = weft(live, "topics", "accept", "orders", "--yes")
    assert refused.returncode == 1 and f"delete {ORDERS}" in refused.stderr
    told = weft(live, "setup").stderr
    assert f"{ORDERS} has {count} partitions, its log has 4" in told and "WEFT_PARTITIONS" not in told
    # and the others go on, in this process and in one that starts
    assert answer(live, "products.AdjustStock", "tea", delta=1, reason="count")["status"] == "accepted"
    worker.terminate()
    assert worker.wait(30) == 1
    worker = at_work(live)
    assert answer(live, "products.AdjustStock", "tea", delta=1, reason="count")["status"] == "accepted"
    # and when somebody does it
    make_anew(live, ORDERS)
    until(lambda: {s["loss"] for s in stopped(live)} == {"anew"}, 60, "it has as many as its log")
    printed(live, "topics", "accept", "orders", "--yes")
    live.send(*(order(f"new-{number}") for number in range(8)))
    for number in range(8):
        assert receipt(live, f"place-new-{number}")["status"] == "accepted"
    until_nothing_stopped(live)
    assert worker.poll() is None
