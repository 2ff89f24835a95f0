from dataclasses import replace

import pytest

from commands.orders import RecordPayment, RecordStock
from infra.messages import Due
from infra.testing.given import given
from schemas.orders import OrderLine
from streams.orders import decider as orders
from tests.orders.examples import (
    LINES,
    ORDER,
    authorised,
    cancel,
    cancelled,
    confirmed,
    deliver,
    delivered,
    expire,
    mug,
    paid,
    place,
    placed,
    ready,
    record_authorised,
    record_tea,
    ship,
    shipped,
    tea,
)

by_customer = cancelled("customer", "changed my mind")


def stock(sku: str, reserved: bool = True, reason: str = "") -> RecordStock:
    return RecordStock(order_id=ORDER, sku=sku, reserved=reserved, reason=reason)


def payment(outcome: str, reason: str = "") -> RecordPayment:
    return RecordPayment(order_id=ORDER, outcome=outcome, reason=reason)


def test_an_order_is_placed_with_the_sum_of_its_lines() -> None:
    given(orders).when(place).then(placed)


def test_an_order_is_placed_once() -> None:
    given(orders, placed).when(place).then_refused("already_placed")


def test_a_line_is_reserved() -> None:
    given(orders, placed).when(record_tea).then(tea)


def test_a_line_is_reserved_once() -> None:
    given(orders, placed, tea).when(record_tea).then()


def test_an_order_is_confirmed_when_its_last_line_is_reserved() -> None:
    given(orders, placed, authorised, tea).when(stock("mug")).then(mug, confirmed)


def test_an_order_is_confirmed_when_its_payment_is_authorised_last() -> None:
    given(orders, placed, tea, mug).when(record_authorised).then(authorised, confirmed)


def test_an_authorised_order_waits_for_its_stock() -> None:
    given(orders, placed, tea).when(record_authorised).then(authorised)


def test_an_order_is_cancelled_when_its_payment_is_declined() -> None:
    reason = "the payment was declined: no funds"
    given(orders, placed, tea).when(payment("declined", "no funds")).then(cancelled("payment", reason))


def test_an_order_is_cancelled_when_a_line_is_refused() -> None:
    given(orders, placed, authorised).when(stock("tea", False, "none left")).then(cancelled("stock", "none left"))


def test_a_confirmed_order_is_paid_when_the_money_is_taken() -> None:
    given(orders, *ready).when(payment("captured")).then(paid)


def test_a_confirmed_order_whose_money_cannot_be_taken_is_cancelled() -> None:
    reason = "the payment could not be taken: lapsed"
    given(orders, *ready).when(payment("not_captured", "lapsed")).then(cancelled("payment", reason))


@pytest.mark.parametrize("history", [(placed,), (placed, tea), ready, (*ready, paid)])
def test_a_customer_may_cancel_until_the_order_is_shipped(history: tuple[object, ...]) -> None:
    given(orders, *history).when(cancel).then(by_customer)


@pytest.mark.parametrize("history", [(shipped,), (shipped, delivered)])
def test_a_shipped_order_is_not_cancelled(history: tuple[object, ...]) -> None:
    given(orders, *ready, paid, *history).when(cancel).then_refused("already_shipped")


def test_an_order_that_is_not_confirmed_in_time_expires() -> None:
    given(orders, placed, tea).when(expire).then(cancelled("expired", "it could not be confirmed within 900 s"))


@pytest.mark.parametrize("history", [ready, (*ready, paid), (placed, by_customer)])
def test_an_order_that_has_an_outcome_does_not_expire(history: tuple[object, ...]) -> None:
    given(orders, *history).when(expire).then()


def test_a_paid_order_is_shipped() -> None:
    given(orders, *ready, paid).when(ship).then(shipped)


@pytest.mark.parametrize("history", [(placed,), ready])
def test_an_order_is_not_shipped_before_it_is_paid(history: tuple[object, ...]) -> None:
    given(orders, *history).when(ship).then_refused("not_paid")


def test_a_cancelled_order_is_not_shipped() -> None:
    given(orders, *ready, paid, by_customer).when(ship).then_refused("cancelled")


def test_a_shipped_order_is_delivered() -> None:
    given(orders, *ready, paid, shipped).when(deliver).then(delivered)


def test_an_order_is_not_delivered_before_it_is_shipped() -> None:
    given(orders, *ready, paid).when(deliver).then_refused("not_shipped")


@pytest.mark.parametrize("news", [stock("mug"), stock("mug", False), record_authorised, payment("declined")])
def test_news_after_the_cancellation_changes_nothing(news: object) -> None:
    given(orders, placed, by_customer).when(news).then()


@pytest.mark.parametrize("command", [cancel, ship, deliver, expire, record_tea, record_authorised])
def test_an_order_nobody_placed_is_unknown(command: object) -> None:
    given(orders).when(command).then_refused("unknown_order")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"lines": ()}, "bad_lines"),
        ({"lines": (OrderLine(sku="a", quantity=1, unit_price_minor=1),) * 101}, "bad_lines"),
        ({"lines": (OrderLine(sku="a", quantity=0, unit_price_minor=1),)}, "bad_lines"),
        ({"lines": (OrderLine(sku="a", quantity=1, unit_price_minor=-1),)}, "bad_lines"),
        ({"lines": (OrderLine(sku="", quantity=1, unit_price_minor=1),)}, "bad_lines"),
        ({"lines": (LINES[0], LINES[0])}, "bad_lines"),
        ({"lines": (OrderLine(sku="a", quantity=2**31 - 1, unit_price_minor=2**62),)}, "too_much"),
        ({"currency": "euro"}, "bad_currency"),
        ({"currency": "EUR\n"}, "bad_currency"),
        ({"lines": (OrderLine(sku="a\0", quantity=1, unit_price_minor=1),)}, "bad_lines"),
        ({"customer_id": ""}, "bad_customer"),
        ({"customer_id": "x" * 256}, "bad_customer"),
        ({"patience_s": 0}, "bad_patience"),
        ({"patience_s": 10**9}, "bad_patience"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(change: dict[str, object], code: str) -> None:
    given(orders).when(replace(place, **change)).then_refused(code)


@pytest.mark.parametrize(
    ("history", "due"), [((), None), ((placed, tea), Due(900, expire)), (ready, None), ((placed, by_customer), None)]
)
def test_an_undecided_order_has_a_deadline(history: tuple[object, ...], due: Due | None) -> None:
    state = orders.initial
    for event in history:
        state = orders.evolve(state, event)
    assert orders.due(ORDER, state) == due


def test_what_the_customer_is_told_is_told_in_short() -> None:
    given(orders, *ready, paid).when(replace(cancel, reason="x" * 501)).then_refused("bad_reason")
    given(orders, *ready, paid).when(replace(ship, tracking="x" * 501)).then_refused("bad_tracking")
