from dataclasses import replace

import pytest

from commands.orders import CancelOrder, RecordPayment
from schemas.orders import OrderLine
from streams.orders import decider as orders
from tests.given import given
from tests.orders.examples import ORDER, cancelled, confirmed, place, placed


def test_an_order_is_placed_with_the_sum_of_its_lines() -> None:
    given(orders).when(place).then(placed)


def test_an_order_is_placed_once() -> None:
    given(orders, placed).when(place).then_refused("already_placed")


def test_an_order_is_confirmed_when_its_payment_is_authorised() -> None:
    given(orders, placed).when(RecordPayment(order_id=ORDER, authorised=True, reason="")).then(confirmed)


def test_an_order_is_cancelled_when_its_payment_is_declined() -> None:
    paid = RecordPayment(order_id=ORDER, authorised=False, reason="no funds")
    given(orders, placed).when(paid).then(cancelled("payment declined: no funds"))


def test_a_customer_may_cancel_until_the_order_is_confirmed() -> None:
    given(orders, placed).when(CancelOrder(order_id=ORDER, reason="too late")).then(cancelled("too late"))


def test_a_confirmed_order_is_not_cancelled() -> None:
    given(orders, placed, confirmed).when(CancelOrder(order_id=ORDER, reason="")).then_refused("already_confirmed")


def test_a_payment_that_arrives_after_the_cancellation_changes_nothing() -> None:
    given(orders, placed, cancelled("")).when(RecordPayment(order_id=ORDER, authorised=True, reason="")).then()


@pytest.mark.parametrize(
    "command", [CancelOrder(order_id=ORDER, reason=""), RecordPayment(order_id=ORDER, authorised=True, reason="")]
)
def test_an_order_nobody_placed_is_unknown(command: object) -> None:
    given(orders).when(command).then_refused("unknown_order")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"lines": ()}, "bad_lines"),
        ({"lines": (OrderLine(sku="a", quantity=1, unit_price_minor=1),) * 101}, "bad_lines"),
        ({"lines": (OrderLine(sku="a", quantity=0, unit_price_minor=1),)}, "bad_lines"),
        ({"lines": (OrderLine(sku="a", quantity=1, unit_price_minor=-1),)}, "bad_lines"),
        ({"lines": (OrderLine(sku="a", quantity=2**31 - 1, unit_price_minor=2**62),)}, "too_much"),
        ({"currency": "euro"}, "bad_currency"),
        ({"currency": "EUR\n"}, "bad_currency"),
        ({"email": "nobody"}, "bad_email"),
        ({"email": "a@b\nBcc: c@d"}, "bad_email"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(change: dict[str, object], code: str) -> None:
    given(orders).when(replace(place, **change)).then_refused(code)
