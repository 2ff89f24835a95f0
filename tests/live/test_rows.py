"""What anybody may say in a text is kept as it came in the log, and shown where Postgres does not take it."""

import json

from tests.live.harness import LiveMesh
from tests.live.shop import answer, row
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
