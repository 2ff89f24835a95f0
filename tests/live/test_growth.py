"""More partitions for contexts that have a history, open deadlines and commands that wait: nothing is lost or done twice."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyarrow import parquet

from infra.ops import growth, status
from infra.ops.setup import deployed
from infra.read.rebuild import rebuild
from tests.live.harness import LiveMesh, stage, until
from tests.live.shop import audit, cancellation, order, receipt, register, saga, send, until_at_rest, until_set_up
from tests.live.weft import printed, weft


@pytest.fixture
def shop_of_its_own(own_mesh: LiveMesh) -> LiveMesh:
    """A shop at work."""
    register(own_mesh, "ada")
    own_mesh.ready(own_mesh.worker())
    until_set_up(own_mesh)
    return own_mesh


def commands(live: LiveMesh) -> int:
    return int(live.query("SELECT count(*) FROM receipts")[0][0])


def waiting(live: LiveMesh) -> int:
    return int(status.contexts(live.settings, live.mesh)["orders"]["waiting_commands"])


@pytest.mark.timeout(240)
def test_a_context_grows_and_goes_on_as_if_it_had_always_been_so(
    shop_of_its_own: LiveMesh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    live = shop_of_its_own
    # given orders of all fates, and a command that waits for workers that are gone
    cards = ("card_ok", "card_declined", "card_lapses", "card_ok", "card_ok")
    placed = [order(f"old-{i}", card=card) for i, card in enumerate(cards)]
    live.send(*placed)
    until_at_rest(live, len(cards))
    refused = weft(live, "topics", "grow", "orders", "--partitions", "7")
    assert "stop the workers first" in refused.stderr and refused.returncode == 1
    live.stop_workers()
    live.send(cancellation("old-3", "waited"))
    # when their context is grown, by a run that is interrupted and one that is not, and another context too
    with monkeypatch.context() as interrupted:
        interrupted.setattr(growth, "_compare", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            growth.grow(live.settings, live.mesh, "orders", 7, lambda text: None)
    assert "events are in orders.events.2" in printed(live, "topics", "grow", "orders", "--partitions", "7")
    assert "events are in payments.events.2" in printed(live, "topics", "grow", "payments", "--partitions", "5")
    live.mesh = deployed(live.settings, live.mesh)
    live.ready(live.worker())
    # then what waited is decided, and its saga ends
    assert receipt(live, "cancel-old-3")["status"] == "accepted"
    until(lambda: live.query("SELECT 1 FROM payments WHERE order_id = 'old-3' AND status = 'refunded'"), 60, "refunded")
    # and what is sent again changes nothing
    until_at_rest(live, len(cards))
    before = commands(live)
    live.send(*placed)
    until(lambda: waiting(live) == 0, 30, "what was sent again is looked at")
    assert commands(live) == before
    # and old and new orders go on
    send(live, "orders.ShipOrder", "old-0")
    live.send(*(order(f"new-{i}") for i in range(10)))
    for i in range(10):
        assert saga(live, f"new-{i}")["outcome"] == "confirmed"
    until(lambda: live.query("SELECT 1 FROM orders WHERE order_id = 'old-0' AND status = 'shipped'"), 30, "shipped")
    until_at_rest(live, len(cards) + 10)
    assert not live.query("SELECT 1 FROM receipts WHERE command_id LIKE 'place-old-%' AND command_offset < 0")
    # and the books are right, row by row, also when rows are made anew from the grown log
    _, wrong = audit(live)
    assert wrong == []
    for name in ("orders", "sagas", "receipts", "payments", "events"):
        rebuilt = asyncio.run(rebuild(live.settings, live.mesh, live.mesh.projection(name), stage()))
        assert rebuilt.swapped and rebuilt.differences is not None and not rebuilt.differences, rebuilt
    assert "everything is what the log says" in printed(live, "verify")
    assert live.query("SELECT wait_for('orders.events/0/0')")[0][0]
    # and every command finds the grown topics
    assert "orders.OrderShipped" in printed(live, "log", "orders", "old-0")
    now = datetime.now(UTC).isoformat()
    shipped = printed(live, "sql", "--as-of", now, "--json", "select status from orders where order_id = 'old-0'")
    assert json.loads(shipped.splitlines()[-1]) == {"status": "shipped"}
    printed(live, "export", str(tmp_path), "orders")
    exported = sum(parquet.read_table(file).num_rows for file in (tmp_path / "orders").glob("*.parquet"))
    assert exported == live.query("SELECT count(*) FROM orders_events")[0][0]
    again = weft(live, "topics", "grow", "orders", "--partitions", "7")
    assert "a log can only grow" in again.stderr and again.returncode == 1


@pytest.mark.timeout(300)
def test_a_context_may_have_hundreds_of_partitions_and_what_the_broker_refuses_changes_nothing(
    own_mesh: LiveMesh,
) -> None:
    live = own_mesh
    refused = weft(live, "topics", "grow", "payments", "--partitions", "20000")
    assert "payments.events.2 cannot have 20000 partitions" in refused.stderr and refused.returncode == 1
    live.ready(live.worker("payments"))
    live.stop_workers()
    assert "which has 480 partitions" in printed(
        live, "topics", "grow", "payments", "--partitions", "480", patience=200
    )
