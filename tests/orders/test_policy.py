from commands.orders import RecordPayment
from schemas.payments import PaymentAuthorised, PaymentDeclined
from streams.orders.policy import react


def test_orders_records_an_authorised_payment() -> None:
    event = PaymentAuthorised(order_id="o", amount_minor=1, currency="EUR", authorisation="auth_1")
    assert list(react(event)) == [RecordPayment(order_id="o", authorised=True, reason="")]


def test_orders_records_a_declined_payment_with_its_reason() -> None:
    event = PaymentDeclined(order_id="o", reason="no funds")
    assert list(react(event)) == [RecordPayment(order_id="o", authorised=False, reason="no funds")]
