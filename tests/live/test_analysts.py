"""What analysts have: documented views, no way to personal data, answers of now, of then, and once their own writes are in."""

import asyncio
import contextlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from pyarrow import parquet

from infra.read import postgres
from infra.settings import address
from tests.live.harness import LiveMesh, until
from tests.live.shop import cancellation, place, saga, send
from tests.live.weft import printed, weft


def test_every_view_and_every_column_is_documented(shop: LiveMesh) -> None:
    silent = shop.query(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'analytics' "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "WHERE c.relkind = 'v' AND (obj_description(c.oid) IS NULL OR col_description(c.oid, a.attnum) IS NULL)"
    )
    assert [tuple(row) for row in silent] == []


@pytest.mark.parametrize("table", ["orders.orders", "events.events", "vault.keys", "identity.accounts", "pg_authid"])
def test_analysts_reach_the_views_and_nothing_behind_them(shop: LiveMesh, table: str) -> None:
    refused = weft(shop, "sql", f"select * from {table}")
    assert refused.returncode == 1
    assert "permission denied" in refused.stderr or "does not exist" in refused.stderr


def test_analysts_change_nothing(shop: LiveMesh) -> None:
    refused = weft(shop, "sql", "create table analytics.mine (x int)")
    assert refused.stderr and refused.returncode == 1


def test_views_join_across_contexts(shop: LiveMesh) -> None:
    place(shop, "joined-1")
    saga(shop, "joined-1")
    (row,) = shop.query("SELECT * FROM customers WHERE customer_id = 'ada' AND currency = 'EUR'")
    assert row["orders"] >= 1 and row["captured_minor"] >= 1380
    assert shop.query("SELECT 1 FROM assortment WHERE sku = 'tea' AND on_hand > 0")
    assert shop.query("SELECT sum(placed) AS n FROM revenue")[0]["n"] >= 1


def test_the_whole_history_of_a_context_is_in_sql_and_names_nobody(shop: LiveMesh) -> None:
    place(shop, "past-1")
    saga(shop, "past-1")
    events = shop.query(
        "SELECT type, content FROM orders_events WHERE subject = 'past-1' AND type LIKE 'orders.%' ORDER BY at, event_id"
    )
    assert [row["type"] for row in events][:1] == ["orders.OrderPlaced"]
    placed = json.loads(events[0]["content"])
    assert placed["total_minor"] == 1380 and "card" not in placed
    (registered,) = shop.query(
        "SELECT content FROM users_events WHERE subject = 'ada' AND type = 'users.UserRegistered'"
    )
    assert json.loads(registered["content"])["name"] == "" and "weft1:" not in registered["content"]


@pytest.mark.parametrize("view", ["orders_events", "order_history"])
def test_events_can_be_put_in_order(view: str, shop: LiveMesh) -> None:
    for number in range(12):
        place(shop, f"ordered-{number}")
    for number in range(12):
        saga(shop, f"ordered-{number}")
    rows = shop.query(f"SELECT event_id FROM {view} ORDER BY event_partition, event_offset")
    places = [tuple(map(int, row["event_id"].split("/")[1:])) for row in rows]
    assert places == sorted(places) and places[-1][1] > 9
    (kinds,) = shop.query(f"SELECT pg_typeof(event_partition)::text, pg_typeof(event_offset)::text FROM {view} LIMIT 1")
    assert tuple(kinds) == ("bigint", "bigint")


def test_the_lines_of_an_order_come_to_what_it_comes_to(shop: LiveMesh) -> None:
    place(shop, "lines-1")
    saga(shop, "lines-1")
    until(lambda: shop.query("SELECT 1 FROM order_lines WHERE order_id = 'lines-1'"), 30, "the line is there")
    (row,) = shop.query("SELECT sku, quantity, amount_minor, currency FROM order_lines WHERE order_id = 'lines-1'")
    assert tuple(row) == ("tea", 2, 1380, "EUR")


def test_what_a_customer_thinks_about_is_no_time_of_the_mesh(shop: LiveMesh) -> None:
    place(shop, "thought-1")
    before = saga(shop, "thought-1")
    time.sleep(2)
    send(shop, "orders.CancelOrder", "thought-1", reason="no more")
    until(
        lambda: shop.query("SELECT 1 FROM sagas WHERE order_id = 'thought-1' AND refunded_at IS NOT NULL"), 30, "refund"
    )
    after = saga(shop, "thought-1")
    assert after["settlement_ms"] == round((after["refunded_at"] - after["cancelled_at"]).total_seconds() * 1000)
    assert (
        after["total_ms"] - before["total_ms"] < (after["cancelled_at"] - after["confirmed_at"]).total_seconds() * 1000
    )


def test_what_no_projection_has_read_a_thing_of_is_waited_for(shop: LiveMesh) -> None:
    wait = "SELECT analytics.wait_for('orders.events/99/0', $1, '0 seconds') AS read"
    assert [shop.query(wait, name)[0]["read"] for name in ("orders", None, "stock")] == [False, False, True]


def test_a_producer_reads_its_own_writes(shop: LiveMesh) -> None:
    body = json.dumps({"delta": 1, "reason": "found one"})
    for number in range(3):
        before = shop.query("SELECT adjusted FROM stock WHERE sku = 'mug'")[0][0]
        output = printed(
            shop, "send", "products.AdjustStock", "mug", body, "--id", f"found-{number}", "--wait=projected"
        )
        assert shop.query("SELECT adjusted FROM stock WHERE sku = 'mug'")[0][0] == before + 1, output


def test_a_query_waits_for_a_version_token(shop: LiveMesh) -> None:
    output = printed(
        shop,
        "send",
        "products.AdjustStock",
        "mug",
        '{"delta": 2, "reason": "two"}',
        "--id",
        "token-1",
        "--wait",
        "--json",
    )
    token = json.loads(output)["last_event_id"]
    answered = printed(shop, "sql", "--after", token, "--json", "select adjusted from stock where sku = 'mug'")
    assert json.loads(answered)["adjusted"] > 0
    late = weft(shop, "sql", "--after", "products.events/0/999999999", "--timeout", "0.3", "select 1 from stock")
    assert "has not read" in late.stderr and late.returncode == 3


def test_freshness_says_where_every_projection_is(shop: LiveMesh) -> None:
    place(shop, "fresh-1")
    saga(shop, "fresh-1")
    until(lambda: all(r["lag_events"] == 0 for r in shop.query("SELECT * FROM freshness")), 30, "all is read")
    assert max(r["checked_s"] for r in shop.query("SELECT * FROM freshness WHERE projection = 'orders'")) < 20
    status = json.loads(printed(shop, "status", "--json"))["projections"]
    assert status["orders"]["position"] == status["orders"]["log_end"] > 0
    assert (status["orders"]["waiting_events"], status["orders"]["waiting_s"]) == (0, 0)


def test_sql_as_of_a_moment_and_an_aggregate_as_of_a_moment(shop: LiveMesh) -> None:
    place(shop, "then-1")
    saga(shop, "then-1")
    time.sleep(0.01)
    then = datetime.now(UTC).isoformat()
    shop.send(cancellation("then-1", "no more"))
    until(
        lambda: shop.query("SELECT 1 FROM orders WHERE order_id = 'then-1' AND status = 'cancelled'"), 30, "cancelled"
    )
    query = "select status from orders where order_id = 'then-1'"
    assert json.loads(printed(shop, "sql", "--as-of", then, "--json", query).splitlines()[-1]) == {"status": "paid"}
    assert json.loads(printed(shop, "sql", "--as-of", then, "--json", query).splitlines()[-1]) == {"status": "paid"}
    assert "OrderCancelled" not in printed(shop, "log", "orders", "then-1", "--as-of", then)
    assert "OrderCancelled" in printed(shop, "log", "orders", "then-1")


def test_the_read_model_of_a_moment_in_a_schema_of_its_own(shop: LiveMesh) -> None:
    then = datetime.now(UTC).isoformat()
    assert "rows as of" in printed(shop, "rebuild", "orders", "users", "--as-of", then, "--into", "november")
    assert shop.query("SELECT count(*) FROM november.orders")[0][0] > 0
    misspelt = weft(shop, "rebuild", "--drop", "novembr")
    assert "november" in misspelt.stderr + misspelt.stdout and misspelt.returncode == 1
    assert "dropped november" in printed(shop, "rebuild", "--drop", "november")
    again = weft(shop, "rebuild", "--drop", "november")
    assert "is no schema of a moment" in again.stderr + again.stdout and again.returncode == 1
    refused = weft(shop, "rebuild", "orders", "--as-of", then, "--into", "analytics")
    assert "cannot be the name" in refused.stderr and refused.returncode == 1


def test_answers_in_parquet(shop: LiveMesh, tmp_path: Path) -> None:
    file = tmp_path / "sagas.parquet"
    printed(shop, "sql", "--parquet", str(file), "select order_id, total_ms, placed_at from sagas")
    table = parquet.read_table(file)
    assert table.num_rows == shop.query("SELECT count(*) FROM sagas")[0][0]
    assert str(table.schema.field("placed_at").type) == "timestamp[us, tz=UTC]"


def test_an_export_writes_what_came_since_the_last_one(shop: LiveMesh, tmp_path: Path) -> None:
    place(shop, "export-1")
    saga(shop, "export-1")
    printed(shop, "export", str(tmp_path), "orders")
    first = {file.name for file in (tmp_path / "orders").glob("*.parquet")}
    place(shop, "export-2")
    saga(shop, "export-2")
    output = printed(shop, "export", str(tmp_path), "orders")
    files = sorted((tmp_path / "orders").glob("*.parquet"))
    assert "events written" in output and first < {file.name for file in files}
    ids = [row["event_id"] for file in files for row in parquet.read_table(file).to_pylist()]
    event_ids = {row["event_id"] for row in shop.query("SELECT event_id FROM orders_events")}
    assert len(ids) == len(set(ids)) and set(ids) <= event_ids
    assert len(ids) == len(event_ids)


def test_a_mistyped_moment_says_how_to_write_it(shop: LiveMesh) -> None:
    refused = weft(shop, "sql", "--as-of", "yesterday", "select 1")
    assert "2026-11-01T12:00Z" in refused.stderr and refused.returncode == 1


def test_verify_finds_nothing_wrong(shop: LiveMesh) -> None:
    place(shop, "verified-1")
    saga(shop, "verified-1")
    assert "everything is what the log says" in printed(shop, "verify")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TEMP TABLE mine (x int)",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock(hashtext('weft setup'))",
        "SELECT analytics.end_overdue()",
        "CREATE TABLE analytics.mine (x int)",
    ],
)
def test_analysts_keep_nothing_that_others_wait_for_whatever_they_set(statement: str, shop: LiveMesh) -> None:
    async def ask() -> None:
        async with postgres.connection(postgres.analyst(address(shop.settings, "postgres"))) as db:
            await db.execute("SET default_transaction_read_only = off")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await db.execute(statement)

    asyncio.run(ask())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("asks", ["pg_sleep(600)", "1"])
def test_who_asks_without_an_end_or_asks_nothing_in_a_transaction_is_ended(asks: str, shop: LiveMesh) -> None:
    async def ask() -> None:
        async with postgres.connection(postgres.analyst(address(shop.settings, "postgres"))) as db:
            await db.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
            ended = asyncio.Event()
            db.add_termination_listener(lambda _: ended.set())
            async with asyncio.timeout(200):
                await db.execute("BEGIN")
                with contextlib.suppress(asyncpg.PostgresError):
                    await db.execute(f"SELECT {asks}", timeout=200)
                await ended.wait()

    asyncio.run(ask())
