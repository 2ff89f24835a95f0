from commands.payments import AuthorisePayment, CapturePayment, VoidPayment
from streams.payments.policy import react
from tests.orders.examples import ORDER, cancelled, confirmed, placed


def test_a_placed_order_is_authorised() -> None:
    assert list(react(placed)) == [AuthorisePayment(order_id=ORDER, amount_minor=2630, currency="EUR", card="card_ok")]


def test_a_confirmed_order_is_captured() -> None:
    assert list(react(confirmed)) == [CapturePayment(order_id=ORDER)]


def test_a_cancelled_order_is_let_go() -> None:
    assert list(react(cancelled("why"))) == [VoidPayment(order_id=ORDER)]
