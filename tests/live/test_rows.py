"""What anybody may say in a text is kept as it came in the log, and shown where Postgres does not take it."""

import asyncio
import json
import re
from typing import Any

import pytest

from infra.read import postgres
from infra.settings import address
from tests.live.harness import LiveMesh, until
from tests.live.shop import answer, row, until_set_up
from tests.live.weft import weft

BACKSLASHED = r"C:\u0000x"  # nine characters, none of which is a NUL


def test_a_text_that_postgres_does_not_take_stops_no_read_model(shop: LiveMesh) -> None:
    # given products and an order about which texts say what Postgres has no place for
    attributes = [{"name": "dir", "value": BACKSLASHED}, {"name": "nul\0", "value": "a\0b"}]
    product = {"name": "Path\0", "unit_price_minor": 1, "currency": "EUR", "attributes": attributes}
    assert answer(shop, "products.ListProduct", "odd-1", **product)["status"] == "accepted"
    assert answer(shop, "orders.CancelOrder", "odd-1\u202e", reason="a\0b")["code"] == "unknown_order"
    # then they are shown
    shown = row(shop, "SELECT name, attributes FROM products WHERE sku = 'odd-1'")
    assert (shown["name"], json.loads(shown["attributes"])) == (
        "Path\ufffd",
        {"dir": BACKSLASHED, "nul\ufffd": "a\ufffdb"},
    )
    told = row(shop, "SELECT content->'attributes'->0->>'value' AS value FROM products_events WHERE subject = 'odd-1'")
    assert told["value"] == BACKSLASHED
    # and made again they are the same
    again = weft(shop, "rebuild", "products", "--yes")
    assert again.returncode == 0, again.stdout + again.stderr
    assert weft(shop, "verify").returncode == 0


@pytest.mark.timeout(240)
def test_a_row_that_cannot_be_written_stops_its_read_model_alone_and_status_names_the_event(own_mesh: LiveMesh) -> None:
    live = own_mesh
    worker = live.worker()
    live.ready(worker)
    until_set_up(live)
    # given a table that does not take what an event says
    asyncio.run(as_owner(live, "ALTER TABLE products.products ADD CONSTRAINT odd CHECK (name <> 'Odd')"))
    product = {"name": "Odd", "unit_price_minor": 1, "currency": "EUR", "attributes": []}
    assert answer(live, "products.ListProduct", "odd-2", **product)["status"] == "accepted"
    # then that read model stands still, it is said why, and others go on
    stuck = until(lambda: [s for s in stopped(live) if s["context"] == "products rows"], 60, "it is said")
    assert re.search(r"products cannot be made of products\.events/\d/\d+: .*odd", stuck[0]["reason"])
    assert answer(live, "orders.CancelOrder", "odd-3", reason="x")["code"] == "unknown_order"
    assert worker.poll() is None
    # when it does, it goes on by itself
    asyncio.run(as_owner(live, "ALTER TABLE products.products DROP CONSTRAINT odd"))
    until(lambda: live.query("SELECT 1 FROM products WHERE sku = 'odd-2'"), 90, "it goes on")
    until(lambda: stopped(live) == [], 90, "nothing is said of it any more")


async def as_owner(live: LiveMesh, sql: str) -> None:
    async with postgres.connection(address(live.settings, "postgres")) as db:
        await db.execute(sql)


def stopped(live: LiveMesh) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(weft(live, "status", "--json").stdout)["stopped"]
    return found
