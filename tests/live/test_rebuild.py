"""Rows made anew while everything goes on: under load, with things killed, interrupted, with other code, and as of any moment."""

import asyncio
import json
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.edge import client
from infra.edge.client import Poster
from infra.errors import Stopped
from infra.messages import changed
from infra.model.projection import Projection
from infra.read import postgres, verify
from infra.read.rebuild import asof, rebuild, shadow
from infra.settings import address
from infra.shop.bench import rebuild as bench
from infra.shop.mesh import mesh
from schemas.orders import OrderConfirmed
from tests.live.harness import ROOT, LiveMesh, stage, until
from tests.live.shop import cancellation, live_shop, order, place, register, saga, send, until_at_rest, until_set_up
from tests.live.weft import printed, started, weft

LONG = 100_000  # events, some seconds of rebuilding
RATE = 500  # commands a second


def hashed(live: LiveMesh, projection: Projection, schema: str | None = None) -> str:
    """Of a whole table, whatever the order of its rows."""

    async def ask() -> str:
        async with postgres.connection(address(live.settings, "postgres")) as db:
            table = f"{schema or projection.schema}.{projection.name}"
            return str(
                await db.fetchval(f"SELECT md5(string_agg(r::text, '|' ORDER BY {projection.key})) FROM {table} r")
            )

    return asyncio.run(ask())


class Steady(threading.Thread):
    """So many commands a second, until told to stop."""

    def __init__(self, live: LiveMesh) -> None:
        super().__init__()
        self._mesh = live.mesh
        self._poster = Poster(live.settings, live.mesh, patience=60)
        self._enough = threading.Event()
        self.posted = 0

    def run(self) -> None:
        begun = time.monotonic()
        while not self._enough.is_set():
            due = int((time.monotonic() - begun) * RATE)
            for number in range(self.posted, due):
                self._poster.post(client.asked(self._mesh, order(f"steady-{number}")))
            self.posted = max(due, self.posted)
            time.sleep(0.01)
        self._poster.flush()

    def __enter__(self) -> "Steady":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join()


@pytest.fixture(scope="module")
def busy() -> Iterator[LiveMesh]:
    """The orders context alone, on a long log, as `weft up orders` runs it: what dies is started again."""
    with live_shop("embedded") as live:
        asyncio.run(bench.make_log(live.settings, LONG))
        live.instance.start_units([["orders"]])
        with live.supervised():
            until(lambda: live.query("SELECT count(*) FROM orders")[0][0] > LONG // 10, 120, "the log is projected")
            yield live


@pytest.mark.timeout(240)
def test_a_rebuild_under_load_survives_everything_that_is_killed_around_it(busy: LiveMesh) -> None:
    orders = mesh.projections["orders"]
    with Steady(busy) as load:
        # given 500 commands a second, and a rebuild that is interrupted in the middle
        first = started(busy, "rebuild", "orders")
        until(lambda: _begun(busy, "orders_next"), 30, "the rebuild has begun")
        time.sleep(0.3)
        first.send_signal(signal.SIGINT)
        output, _ = first.communicate(timeout=60)
        assert first.returncode == 130, output
        # when the projector is killed, then Postgres, and the rebuild is run again
        busy.kill("mesh")
        until(lambda: busy.instance.children.get("mesh") is not None, 30, "the worker is started again")
        busy.kill("postgres")
        until(lambda: _answers(busy), 60, "Postgres is back")
        output = printed(busy, "rebuild", "orders")
        assert (
            "going on with what an earlier run has done" in output and "swapped" in output and "differ" not in output
        ), output
        assert load.posted > 5 * RATE / 2
    # then all that was asked meanwhile was decided, every row is what the log says, and the projector has gone on with the
    # new tables
    until(
        lambda: _placed(busy, "steady-%") == load.posted,
        90,
        lambda: f"{load.posted} orders: {_placed(busy, 'steady-%')}",
    )
    until(lambda: _behind(busy, "orders") == 0, 60, "everything is projected")
    verdict = verify.projection(busy.settings, busy.mesh, "orders")
    assert (verdict.wrong, verdict.behind) == ([], 0)
    live = hashed(busy, orders)
    assert "as the live rows were" in printed(busy, "rebuild", "orders")
    assert hashed(busy, orders) == live


@pytest.mark.timeout(240)
def test_what_a_crash_of_postgres_takes_from_a_shadow_is_loaded_again(
    busy: LiveMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a shadow whose parts are loaded, and whose rows nobody has made safe yet
    orders = mesh.projections["orders"]

    async def not_reached(*_: object) -> None:
        raise Stopped("stopped")

    with monkeypatch.context() as interrupted:
        interrupted.setattr(shadow, "furnish", not_reached)
        with pytest.raises(Stopped):
            asyncio.run(rebuild(busy.settings, busy.mesh, orders, stage(2)))
    # when Postgres crashes
    busy.kill("postgres")
    until(lambda: _answers(busy), 60, "Postgres is back")
    # then the next run has all rows
    rebuilt = asyncio.run(rebuild(busy.settings, busy.mesh, orders, stage(2)))
    assert rebuilt.swapped and not rebuilt.differences, rebuilt


@pytest.mark.timeout(240)
def test_rows_for_which_there_is_no_room_in_memory_are_the_same(busy: LiveMesh) -> None:
    # given a log of many more rows than there is room for
    orders, at, spill = mesh.projections["orders"], datetime.now(UTC), busy.settings.home / "spill"
    tight = busy.settings.having(state_mb=1)
    asyncio.run(asof.build(busy.settings, busy.mesh, ["orders"], at, "ample", stage(2)))
    assert not spill.exists()
    # when they are rebuilt, made as of a moment, and held against the log
    rebuilt = asyncio.run(rebuild(tight, busy.mesh, orders, stage(2)))
    asyncio.run(asof.build(tight, busy.mesh, ["orders"], at, "tight", stage(2)))
    verdicts = list(verify.verify(tight, busy.mesh, ["orders"], ["orders"], 2))
    # then they are what they are with room, and nothing is left where they were meanwhile
    assert rebuilt.swapped and not rebuilt.differences, rebuilt
    assert hashed(busy, orders, "tight_rows") == hashed(busy, orders, "ample_rows")
    assert [verdict.wrong for verdict in verdicts] == [[], []]
    assert list(spill.iterdir()) == []


def _begun(live: LiveMesh, schema: str) -> bool:
    async def ask() -> bool:
        async with postgres.connection(address(live.settings, "postgres")) as db:
            return await db.fetchval("SELECT to_regnamespace($1)", schema) is not None

    return asyncio.run(ask())


def _answers(live: LiveMesh) -> bool:
    try:
        return bool(live.query("SELECT 1"))
    except Exception:
        return False


def _behind(live: LiveMesh, name: str) -> int:
    return verify.projection(live.settings, live.mesh, name).behind


def settled(live: LiveMesh) -> None:
    """A few orders of all fates, at rest."""
    live.send(*(order(f"kept-{i}", card=card) for i, card in enumerate(("card_ok", "card_declined", "card_ok"))))
    live.send(cancellation("kept-2", "no more"))
    for i in range(3):
        saga(live, f"kept-{i}")


def test_every_table_is_the_same_after_a_rebuild(shop: LiveMesh) -> None:
    settled(shop)
    for projection in mesh.projections.values():
        until(lambda p=projection: _rebuilt_the_same(shop, p), 30, f"{projection.name} stands still for a moment")


def _rebuilt_the_same(live: LiveMesh, projection: Projection) -> bool:
    """Rebuild, and compare the whole table with what it was; False if something came in between."""
    position, before = _position(live, projection), hashed(live, projection)
    rebuilt = asyncio.run(rebuild(live.settings, live.mesh, projection, stage()))
    assert rebuilt.swapped and not rebuilt.differences, rebuilt
    after = hashed(live, projection)
    if _position(live, projection) != position:
        return False
    assert after == before, projection.name
    return True


def _position(live: LiveMesh, projection: Projection) -> int:
    return int(
        live.query("SELECT coalesce(sum(position), 0) FROM freshness WHERE projection = $1", projection.name)[0][0]
    )


def _placed(live: LiveMesh, like: str) -> int:
    return int(live.query("SELECT count(*) FROM orders WHERE order_id LIKE $1", like)[0][0])


def test_a_reader_sees_no_gap_while_tables_are_swapped(shop: LiveMesh) -> None:
    settled(shop)
    seen: list[int] = []
    stop = threading.Event()

    def read() -> None:
        async def ask() -> None:
            async with postgres.connection(postgres.analyst(address(shop.settings, "postgres"))) as db:
                statement = await db.prepare("SELECT count(*) FROM orders")
                while not stop.is_set():
                    seen.append(await statement.fetchval())

        asyncio.run(ask())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3):
        assert asyncio.run(rebuild(shop.settings, shop.mesh, mesh.projections["orders"], stage())).swapped
    stop.set()
    reader.join()
    assert len(seen) > 20
    assert seen == sorted(seen) and seen[0] >= 3


def test_a_wrong_projection_is_shown_by_the_comparison_and_by_verify(
    shop: LiveMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a projection with a bug
    settled(shop)
    right = mesh.projections["orders"]

    def project(row: Any, event: Any, meta: Any) -> Any:
        after = right.project(row, event, meta)
        return changed(after, total_minor=0) if isinstance(event, OrderConfirmed) else after

    wrong = replace(right, project=project)
    mistaken = replace(mesh, projections={**mesh.projections, "orders": wrong})
    # when it is rebuilt
    refused = asyncio.run(rebuild(shop.settings, mistaken, wrong, stage()))
    # then the row, the column and the event are told, and nothing is swapped
    assert not refused.swapped and refused.differences is not None
    lines = list(refused.differences.lines())
    assert any("total_minor" in line and "orders.OrderConfirmed)" in line for line in lines), lines
    # and when somebody swaps all the same, the right code sees it in the live rows
    assert asyncio.run(rebuild(shop.settings, mistaken, wrong, stage(may_swap=True))).swapped
    verdict = verify.projection(shop.settings, shop.mesh, "orders")
    assert any("total_minor is 0, the log says" in line and "orders.OrderPlaced)" in line for line in verdict.wrong)
    # until it is rebuilt with that
    assert asyncio.run(rebuild(shop.settings, shop.mesh, right, stage(may_swap=True))).swapped
    assert verify.projection(shop.settings, shop.mesh, "orders").wrong == []


def test_a_column_is_added_without_stopping_anything(shop: LiveMesh, tmp_path: Path) -> None:
    # given the next version of the code: orders say how many they are of a kind
    settled(shop)
    code = tmp_path / "next"
    shutil.copytree(ROOT, code, ignore=shutil.ignore_patterns(".git", ".venv", "*cache*", "tests"))
    python, sql = code / "projections" / "orders.py", code / "projections" / "orders.sql"
    python.write_text(
        python.read_text()
        .replace("    line_count: int\n", "    line_count: int\n    item_count: int\n")
        .replace(
            "line_count=len(event.lines),",
            "line_count=len(event.lines), item_count=sum(i.quantity for i in event.lines),",
        )
    )
    sql.write_text(
        sql.read_text()
        .replace(
            "    line_count  bigint NOT NULL,", "    line_count  bigint NOT NULL,\n    item_count  bigint NOT NULL,"
        )
        .replace("changed_at FROM orders", "changed_at, item_count FROM orders")
    )
    # when it is set up and rebuilt beside the old one
    assert "the code of orders is not the one that made its tables" in printed(shop, "setup", cwd=code)
    right = sql.read_text()
    sql.write_text(right.replace("item_count  bigint NOT NULL,", "item_count  bigint NOT NULL,,"))
    mistaken = weft(shop, "rebuild", "orders", "--yes", cwd=code)
    assert 'projections/orders.sql, line 10: syntax error at or near ","' in mistaken.stderr + mistaken.stdout
    sql.write_text(right.replace("changed_at, item_count FROM", "changed_at, itemcount FROM"))
    mistaken = weft(shop, "rebuild", "orders", "--yes", cwd=code)
    assert "projections/orders.sql, line 18: " in mistaken.stderr + mistaken.stdout
    sql.write_text(right)
    output = printed(shop, "rebuild", "orders", "--yes", cwd=code)
    # then the column is there, and its old values are the log's
    assert "new columns: item_count" in output
    assert shop.query("SELECT item_count FROM orders WHERE order_id = 'kept-0'")[0][0] == 2
    # and the worker of the old code knows that it is the older one, and so do those who ask
    place(shop, "kept-8")
    posted = time.time()
    until(lambda: "a worker is older: restart it" in _status(shop, code)["code"], 30, "the worker waits")
    until(lambda: _status(shop, code)["waiting_events"] > 0, 30, "an event waits")
    assert 0 < _status(shop, code)["waiting_s"] < time.time() - posted + 0.5
    assert (
        "this worker is older than the tables of orders" in (shop.settings.home / "logs" / "worker-0.log").read_text()
    )
    # and the old code is called back as easily, and goes on
    assert "live again" in printed(shop, "rebuild", "orders", "--rollback")
    assert "item_count" not in shop.query("SELECT * FROM orders LIMIT 1")[0]
    place(shop, "kept-9")
    saga(shop, "kept-9")
    until(lambda: shop.query("SELECT 1 FROM orders WHERE order_id = 'kept-9'"), 30, "the old code goes on")
    assert "dropped" in printed(shop, "rebuild", "orders", "--drop-old")


def _status(live: LiveMesh, code: Path) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(printed(live, "status", "--json", cwd=code))["projections"]["orders"]
    return row


ANSWER = """SELECT json_build_object(
    'stock', (SELECT json_agg(s ORDER BY sku) FROM stock s),
    'orders', (SELECT json_agg(o ORDER BY order_id) FROM orders o),
    'sagas', (SELECT json_agg(s ORDER BY order_id) FROM sagas s))::text"""
READ = ("stock", "orders", "sagas")


@pytest.mark.timeout(480)
def test_answers_as_of_a_hundred_moments_are_the_answers_that_were_given_then(own_mesh: LiveMesh) -> None:
    worker = own_mesh.worker()
    own_mesh.ready(worker)
    register(own_mesh, "ada")
    until_set_up(own_mesh)
    dice = random.Random(5)
    # given what was answered at a hundred moments
    given: list[tuple[datetime, str]] = []
    for number in range(100):
        if number % 20 == 0:
            place(own_mesh, f"moment-{number}")
            until_at_rest(own_mesh, number // 20 + 1)
        adjusted = send(own_mesh, "products.AdjustStock", "tea", delta=dice.randint(1, 9), reason="x").id
        until(lambda command_id=adjusted: _quiet(own_mesh, command_id), 30, "everything is projected")
        time.sleep(0.002)  # what comes now is of another millisecond
        given.append((datetime.now(UTC), own_mesh.query(ANSWER)[0][0]))
        time.sleep(0.002)
    # when the log is asked what was then
    for at, answer in given:
        into = asof.schema_of(at)
        asyncio.run(asof.build(own_mesh.settings, own_mesh.mesh, READ, at, into, stage()))
        assert _asked(own_mesh, into) == answer, at
        asyncio.run(_dropped(own_mesh, into))


def _quiet(live: LiveMesh, command_id: str) -> bool:
    receipt = live.query("SELECT last_event_id FROM receipts WHERE command_id = $1", command_id)
    return bool(receipt) and bool(live.query("SELECT wait_for($1)", receipt[0][0])[0][0])


def _asked(live: LiveMesh, into: str) -> str:
    async def ask() -> str:
        async with postgres.connection(postgres.analyst(address(live.settings, "postgres"))) as db:
            await db.execute(f"SET search_path = {into}")
            return str(await db.fetchval(ANSWER))

    return asyncio.run(ask())


async def _dropped(live: LiveMesh, into: str) -> None:
    async with postgres.connection(address(live.settings, "postgres")) as db:
        await asof.drop(db, into)
