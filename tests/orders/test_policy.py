import pytest

from commands.orders import RecordPayment, RecordStock
from schemas.payments import CaptureFailed, PaymentAuthorised, PaymentCaptured, PaymentDeclined
from schemas.products import StockRefused, StockReserved
from streams.orders.policy import react

MONEY = {"amount_minor": 1, "currency": "EUR"}


@pytest.mark.parametrize(
    ("event", "outcome", "reason"),
    [
        (PaymentAuthorised(order_id="o", **MONEY, authorisation="auth_1"), "authorised", ""),
        (PaymentDeclined(order_id="o", reason="no funds"), "declined", "no funds"),
        (PaymentCaptured(order_id="o", **MONEY), "captured", ""),
        (CaptureFailed(order_id="o", reason="lapsed"), "not_captured", "lapsed"),
    ],
)
def test_orders_records_what_became_of_the_payment(event: object, outcome: str, reason: str) -> None:
    assert list(react(event)) == [RecordPayment(order_id="o", outcome=outcome, reason=reason)]


@pytest.mark.parametrize(
    ("event", "reserved", "reason"),
    [
        (StockReserved(sku="tea", order_id="o", quantity=1), True, ""),
        (StockRefused(sku="tea", order_id="o", quantity=1, code="price", reason="dearer"), False, "dearer"),
    ],
)
def test_orders_records_what_became_of_a_line(event: object, reserved: bool, reason: str) -> None:
    assert list(react(event)) == [RecordStock(order_id="o", sku="tea", reserved=reserved, reason=reason)]
