"""Each projection: rows from events, and the same rows from the same events whatever way they are batched."""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from infra.messages import REUSED_CODE, Refused, Rejected
from infra.model.own import receipts
from infra.shop.mesh import mesh
from infra.testing.rows import T0, fold, meta
from projections import notifications, order_history, orders, payments, products, sagas, stock, users
from schemas.notifications import NotificationFailed
from schemas.products import (
    Attribute,
    PriceChanged,
    ProductDelisted,
    ProductListed,
    StockAdjusted,
    StockRefused,
    StockReleased,
    StockReserved,
    StockShipped,
)
from schemas.users import Channel, ContactChannelsChanged
from tests.notifications.examples import requested as told
from tests.notifications.examples import sent, skipped
from tests.orders.examples import ORDER, authorised, cancelled, confirmed, delivered, mug, paid, placed, shipped, tea
from tests.payments.examples import authorised as held
from tests.payments.examples import (
    capture_failed,
    capture_requested,
    declined,
    refund_failed,
    refund_requested,
    refunded,
    requested,
    taken,
    void_requested,
    voided,
)
from tests.users.examples import erased, refused, registered, registration


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ((placed,), "placed"),
        ((placed, confirmed), "confirmed"),
        ((placed, confirmed, paid), "paid"),
        ((placed, confirmed, paid, shipped), "shipped"),
        ((placed, confirmed, paid, shipped, delivered), "delivered"),
        ((placed, cancelled("stock", "none left")), "cancelled"),
    ],
)
def test_an_order_row_follows_its_order(events: tuple[Any, ...], status: str) -> None:
    row = fold(orders, *events)
    assert (row.status, row.total_minor, row.line_count, row.placed_at) == (status, 2630, 2, T0)
    assert row.changed_at == T0 + timedelta(seconds=len(events) - 1)


def test_an_order_row_says_what_cancelled_it() -> None:
    row = fold(orders, placed, cancelled("stock", "none left"))
    assert (row.code, row.reason) == ("stock", "none left")


@pytest.mark.parametrize(
    ("event", "detail"),
    [
        (placed, "2 tea, 1 mug"),
        (tea, "tea"),
        (authorised, ""),
        (confirmed, ""),
        (paid, ""),
        (cancelled("customer", "changed my mind"), "customer: changed my mind"),
        (shipped, "T1"),
        (delivered, ""),
    ],
)
def test_the_history_of_an_order_has_a_row_an_event(event: Any, detail: str) -> None:
    row = fold(order_history, event)
    assert (row.event, row.detail, row.order_id) == (type(event).__name__, detail, ORDER)
    assert order_history.row_id(event, meta(7)) == "some.events/0/7"


@pytest.mark.parametrize(
    ("events", "status", "captured", "given_back"),
    [
        ((requested,), "requested", 0, 0),
        ((requested, held), "authorised", 0, 0),
        ((requested, declined), "declined", 0, 0),
        ((requested, held, capture_requested), "capturing", 0, 0),
        (taken, "captured", 2630, 0),
        ((requested, held, capture_requested, capture_failed), "not captured", 0, 0),
        ((requested, held, void_requested), "voiding", 0, 0),
        ((requested, held, void_requested, voided), "voided", 0, 0),
        ((*taken, refund_requested("r", 630)), "refunding", 2630, 0),
        ((*taken, refund_requested("r", 630), refunded("r", 630)), "partly refunded", 2630, 630),
        ((*taken, refund_requested("r", 2630), refunded("r", 2630)), "refunded", 2630, 2630),
        ((*taken, refund_requested("r", 630), refund_failed("r")), "captured", 2630, 0),
    ],
)
def test_a_payment_row_follows_its_payment(
    events: tuple[Any, ...], status: str, captured: int, given_back: int
) -> None:
    row = fold(payments, *events)
    assert (row.status, row.captured_minor, row.refunded_minor) == (status, captured, given_back)


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ((told,), "requested"),
        ((told, sent), "sent"),
        ((told, NotificationFailed(notification_id="n", order_id=ORDER, reason="no")), "failed"),
        ((skipped("erased"),), "skipped"),
    ],
)
def test_a_notification_row_follows_its_message(events: tuple[Any, ...], status: str) -> None:
    assert fold(notifications, *events).status == status


LISTED = ProductListed(
    sku="mug",
    name="Mug",
    description="",
    attributes=(Attribute(name="colour", value="blue\0"),),
    unit_price_minor=1250,
    currency="EUR",
)


def test_a_product_row_follows_its_product() -> None:
    dearer = PriceChanged(sku="mug", unit_price_minor=1300, currency="EUR")
    row = fold(products, LISTED, dearer)
    assert (row.listed, row.unit_price_minor) == (True, 1300)
    assert fold(products, LISTED, dearer, ProductDelisted(sku="mug")).listed is False


def test_attributes_are_json_that_postgres_can_read() -> None:
    assert fold(products, LISTED).attributes == '{"colour":"blue\N{REPLACEMENT CHARACTER}"}'


def test_a_stock_row_always_adds_up() -> None:
    line = {"sku": "tea", "order_id": "o", "quantity": 3}
    events = (
        StockAdjusted(sku="tea", delta=10, on_hand=10, reason=""),
        StockReserved(**line),
        StockReleased(**line),
        StockReserved(**line),
        StockShipped(**line),
        StockRefused(**line, code="out_of_stock", reason=""),
    )
    for length in range(1, len(events) + 1):
        row = fold(stock, *events[:length])
        assert row.adjusted == row.on_hand + row.reserved + row.shipped
    assert (row.on_hand, row.reserved, row.shipped, row.refused_orders) == (7, 0, 3, 1)


def test_a_user_row_follows_its_user() -> None:
    assert fold(users, registration).status == "pending"
    assert fold(users, registration, refused).status == "refused"
    row = fold(users, registration, registered)
    assert (row.status, row.channels) == ("active", "email")


def test_a_user_row_names_the_channels_that_are_switched_on() -> None:
    channels = (Channel(kind="sms", address="sealed"), Channel(kind="push", address="sealed", enabled=False))
    chosen = ContactChannelsChanged(user_id="user-1", channels=channels)
    assert fold(users, registration, registered, chosen).channels == "sms"


def test_an_erased_user_is_forgotten() -> None:
    assert fold(users, registration, registered, erased) is None


def test_a_saga_is_the_same_whichever_context_is_heard_first() -> None:
    reserved = (
        StockReserved(sku="tea", order_id=ORDER, quantity=2),
        StockReserved(sku="mug", order_id=ORDER, quantity=1),
    )
    events = [(placed, 0), (requested, 1), (reserved[0], 2), (reserved[1], 3), (held, 4), (confirmed, 5)]

    def seen(order: Any) -> Any:
        row = None
        for event, step in order:
            row = sagas.project(row, event, meta(step))
        return row

    assert len({seen(order) for order in permutations(events)}) == 1


def test_a_receipt_names_every_event_of_its_command() -> None:
    row = receipts.project(None, mug, meta(0, type="orders.LineReserved"))
    row = receipts.project(row, confirmed, meta(1, type="orders.OrderConfirmed"))
    assert (row.status, row.events, row.last_event_id) == (
        "accepted",
        "orders.LineReserved, orders.OrderConfirmed",
        "some.events/0/1",
    )


REUSED = Refused(code=REUSED_CODE, reason="r")
LIKE_A_PLACE = meta(subject="order-1", command_id="orders.commands/0/17", command_offset=17)
LIKE_AN_ID = meta(subject="order-1/orders.commands", command_id="0/17", command_offset=3)
MINE = meta(subject="order-1", command_id="mine", command_offset=57)
MINE_AGAIN = meta(subject="order-1", command_id="mine@0/57", command_offset=3)
OURS = meta(subject="order-1", command_id="payments.events/0/9/orders/0", way="own")
LIKE_OURS = meta(subject="order-1", command_id="payments.events/0/9/orders/0@own")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((placed, LIKE_A_PLACE), (placed, LIKE_AN_ID)),
        ((REUSED, MINE), (placed, MINE)),
        ((REUSED, MINE), (placed, MINE_AGAIN)),
        ((REUSED, MINE), (REUSED, replace(MINE, command_offset=58))),
        ((placed, OURS), (placed, LIKE_OURS)),
        ((placed, OURS), (placed, replace(OURS, way="commands"))),
        ((placed, MINE), (placed, replace(MINE, subject="order-2"))),
        ((placed, meta(subject="1", command_id="1/1/a")), (placed, meta(subject="1/1", command_id="1/a"))),
    ],
)
def test_what_somebody_else_asked_has_a_receipt_of_its_own(one: Any, other: Any) -> None:
    assert receipts.row_id(*one) != receipts.row_id(*other)


def test_what_is_asked_again_under_its_id_has_the_same_receipt() -> None:
    assert receipts.row_id(placed, MINE) == receipts.row_id(confirmed, replace(MINE, command_offset=58))


@pytest.mark.parametrize(
    ("answer", "status"), [(Refused(code="no", reason="r"), "refused"), (Rejected(code="no", reason="r"), "rejected")]
)
def test_a_receipt_says_why_not(answer: Any, status: str) -> None:
    row = receipts.project(None, answer, meta())
    assert (row.status, row.code, row.reason) == (status, "no", "r")


def test_a_rejected_command_that_was_mended_is_accepted() -> None:
    row = receipts.project(None, Rejected(code="no", reason="r"), meta(0))
    assert receipts.project(row, placed, meta(1, command_offset=1)).status == "accepted"


def test_what_was_accepted_stays_accepted_when_rubbish_comes_under_its_id() -> None:
    row = receipts.project(None, placed, meta(0))
    assert receipts.project(row, Rejected(code="no", reason="r"), meta(1, command_offset=1)).status == "accepted"


@pytest.mark.parametrize("name", mesh.projections)
def test_the_tables_have_a_column_for_every_field(name: str) -> None:
    projection = mesh.projections[name]
    table = projection.tables.split(");")[0]
    assert [line.split()[0] for line in table.splitlines()[1:] if line.startswith("    ")] == list(projection.columns)


@pytest.mark.parametrize("name", mesh.projections)
def test_analysts_never_see_an_address(name: str) -> None:
    columns = mesh.projections[name].views.partition("FROM")[0].replace(",", " ").split()
    assert not {"email", "recipient", "card", "body", "address"} & set(columns)
