from commands.payments import CapturePayment, VoidPayment
from streams.payments.policy import react
from tests.orders.examples import ORDER, cancelled, confirmed, placed
from tests.payments.examples import authorise


def test_an_order_asks_for_its_payment() -> None:
    assert list(react(placed)) == [authorise]


def test_a_confirmed_order_takes_the_money() -> None:
    assert list(react(confirmed)) == [CapturePayment(order_id=ORDER)]


def test_a_cancelled_order_gives_the_money_back() -> None:
    assert list(react(cancelled("customer", ""))) == [VoidPayment(order_id=ORDER)]
