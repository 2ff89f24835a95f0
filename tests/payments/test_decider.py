from dataclasses import replace
from functools import reduce

import pytest

from commands.payments import RefundPayment
from infra.testing.given import given
from streams.payments import decider as payments
from tests.payments.examples import (
    ORDER,
    authorise,
    authorised,
    capture,
    capture_failed,
    capture_requested,
    captured,
    declined,
    outcome,
    record_authorised,
    refund_all,
    refund_failed,
    refund_requested,
    refunded,
    requested,
    taken,
    void,
    void_requested,
    voided,
)


def test_a_payment_is_requested_of_the_gateway() -> None:
    given(payments).when(authorise).then(requested)


def test_the_gateway_may_authorise() -> None:
    given(payments, requested).when(record_authorised).then(authorised)


def test_the_gateway_may_decline() -> None:
    given(payments, requested).when(outcome("authorise", ok=False, reason="no funds")).then(declined)


def test_held_money_is_captured() -> None:
    given(payments, requested, authorised).when(capture).then(capture_requested)


def test_a_capture_is_recorded_with_its_amount() -> None:
    given(payments, requested, authorised, capture_requested).when(outcome("capture")).then(captured)


def test_held_money_is_let_go_only_once() -> None:
    given(payments, requested, authorised, void_requested, voided).when(void).then()


def test_a_payment_nobody_wants_any_more_is_let_go_when_the_gateway_answers() -> None:
    given(payments, requested, void_requested).when(record_authorised).then(authorised, void_requested)


def test_a_payment_nobody_wants_any_more_may_still_be_declined() -> None:
    declining = outcome("authorise", ok=False, reason="no funds")
    given(payments, requested, void_requested).when(declining).then(declined)


@pytest.mark.parametrize("history", [(declined,), (authorised, capture_requested, capture_failed)])
def test_money_that_was_never_taken_is_not_let_go(history: tuple[object, ...]) -> None:
    given(payments, requested, *history).when(void).then()


def test_money_that_was_taken_is_given_back_when_nobody_needs_it() -> None:
    given(payments, *taken).when(void).then(refund_requested("cancelled", 2630, "the order was cancelled"))


def test_what_was_refunded_before_is_not_given_back_again() -> None:
    history = (*taken, refund_requested("r1", 630), refunded("r1", 630))
    given(payments, *history).when(void).then(refund_requested("cancelled", 2000, "the order was cancelled"))


def test_a_cancellation_while_the_money_is_taken_is_heard_when_the_gateway_answers() -> None:
    history = (requested, authorised, capture_requested, void_requested)
    refund = refund_requested("cancelled", 2630, "the order was cancelled")
    given(payments, *history).when(outcome("capture")).then(captured, refund)


def test_a_capture_may_fail() -> None:
    given(payments, requested, authorised, capture_requested).when(outcome("capture", ok=False, reason="lapsed")).then(
        capture_failed
    )


def refund(refund_id: str, amount_minor: int) -> RefundPayment:
    return RefundPayment(order_id=ORDER, refund_id=refund_id, amount_minor=amount_minor)


def test_a_part_is_refunded() -> None:
    given(payments, *taken).when(refund("r1", 630)).then(refund_requested("r1", 630))


def test_a_refund_of_nothing_said_is_all_that_is_left() -> None:
    given(payments, *taken, refund_requested("r1", 630)).when(refund_all).then(refund_requested("r2", 2000))


def test_a_refund_is_known_by_its_id() -> None:
    given(payments, *taken, refund_requested("r1", 630)).when(refund("r1", 100)).then()


@pytest.mark.parametrize(
    "history", [(), (refund_requested("r1", 630),), (refund_requested("r1", 630), refunded("r1", 630))]
)
def test_refunds_never_exceed_what_was_taken(history: tuple[object, ...]) -> None:
    given(payments, *taken, *history).when(refund("r2", 2631 - 630 * bool(history))).then_refused("too_much")


@pytest.mark.parametrize("amount", [-1, 0])
def test_nothing_is_left_after_a_full_refund(amount: int) -> None:
    given(payments, *taken, refund_requested("r1", 2630)).when(refund("r2", amount)).then_refused("too_much")


def test_a_refund_is_recorded_with_its_amount() -> None:
    given(payments, *taken, refund_requested("r1", 630)).when(outcome("refund", refund_id="r1")).then(
        refunded("r1", 630)
    )


def test_a_refund_that_failed_may_be_asked_again_under_another_id() -> None:
    history = (*taken, refund_requested("r1", 2630), refund_failed("r1"))
    given(payments, *history).when(refund("r2", 2630)).then(refund_requested("r2", 2630))


def test_an_answer_about_another_refund_is_no_news() -> None:
    given(payments, *taken, refund_requested("r1", 630)).when(outcome("refund", refund_id="r0")).then()


@pytest.mark.parametrize(
    ("history", "code"),
    [
        ((requested,), "not_captured"),
        ((requested, authorised), "not_captured"),
        ((requested, declined), "nothing_captured"),
    ],
)
def test_what_was_not_taken_is_not_refunded(history: tuple[object, ...], code: str) -> None:
    given(payments, *history).when(refund("r1", 1)).then_refused(code)


def test_what_was_captured_by_hand_while_it_was_to_be_let_go_is_given_back() -> None:
    history = (requested, authorised, void_requested)
    given(payments, *history).when(outcome("capture")).then(
        captured, refund_requested("cancelled", 2630, "the order was cancelled")
    )
    given(payments, *history).when(outcome("capture", ok=False)).then()


@pytest.mark.parametrize("command", [capture, void, record_authorised, refund_all])
def test_a_payment_nobody_asked_is_unknown(command: object) -> None:
    given(payments).when(command).then_refused("unknown_payment")


def test_an_unwanted_payment_keeps_the_intent_it_opened() -> None:
    wanted = [
        payments.pending(ORDER, reduce(payments.evolve, events, payments.initial))
        for events in ([requested], [requested, void_requested])
    ]
    assert wanted[0] is not None
    assert wanted[0] == wanted[1]


@pytest.mark.parametrize(
    ("history", "intent"),
    [
        ((), None),
        ((requested,), payments.Authorise),
        ((requested, authorised), None),
        ((requested, authorised, capture_requested), payments.Capture),
        ((requested, authorised, void_requested), payments.Void),
        ((requested, authorised, capture_requested, captured), None),
        ((requested, authorised, void_requested, voided), None),
        ((*taken, refund_requested("r1", 1)), payments.Refund),
        ((*taken, refund_requested("r1", 1), refunded("r1", 1)), None),
        ((*taken, refund_requested("r1", 1), refund_requested("r2", 1), refunded("r1", 1)), payments.Refund),
    ],
)
def test_the_state_says_what_is_wanted_of_the_gateway(history: tuple[object, ...], intent: type | None) -> None:
    wanted = payments.pending(ORDER, reduce(payments.evolve, history, payments.initial))
    assert (wanted and type(wanted)) == intent


@pytest.mark.parametrize("refund_id", ["", "r" * 256, "r\0"])
def test_a_refund_has_an_id(refund_id: str) -> None:
    given(payments, *taken).when(replace(refund_all, refund_id=refund_id)).then_refused("bad_refund")


def test_why_it_is_refunded_is_told_in_short() -> None:
    given(payments, *taken).when(replace(refund_all, reason="x" * 501)).then_refused("bad_reason")
