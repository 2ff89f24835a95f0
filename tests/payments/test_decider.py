from functools import reduce

import pytest

from commands.payments import CapturePayment, VoidPayment
from streams.payments import decider as payments
from tests.given import given
from tests.payments.examples import (
    ORDER,
    authorise,
    authorised,
    capture_requested,
    captured,
    declined,
    outcome,
    requested,
    void_requested,
    voided,
)

capture, void = CapturePayment(order_id=ORDER), VoidPayment(order_id=ORDER)


def test_a_payment_is_requested_of_the_gateway() -> None:
    given(payments).when(authorise).then(requested)


def test_the_gateway_may_authorise() -> None:
    given(payments, requested).when(outcome("authorise")).then(authorised)


def test_the_gateway_may_decline() -> None:
    given(payments, requested).when(outcome("authorise", ok=False, reason="no funds")).then(declined)


def test_held_money_is_captured() -> None:
    given(payments, requested, authorised).when(capture).then(capture_requested)


def test_a_capture_is_recorded_with_its_amount() -> None:
    given(payments, requested, authorised, capture_requested).when(outcome("capture")).then(captured)


def test_held_money_is_let_go_only_once() -> None:
    given(payments, requested, authorised, void_requested, voided).when(void).then()


def test_a_payment_nobody_wants_any_more_is_let_go_when_the_gateway_answers() -> None:
    given(payments, requested, void_requested).when(outcome("authorise")).then(authorised, void_requested)


def test_a_payment_nobody_wants_any_more_may_still_be_declined() -> None:
    declining = outcome("authorise", ok=False, reason="no funds")
    given(payments, requested, void_requested).when(declining).then(declined)


@pytest.mark.parametrize("history", [(declined,), (authorised, capture_requested, captured)])
def test_settled_money_is_not_let_go(history: tuple[object, ...]) -> None:
    given(payments, requested, *history).when(void).then()


@pytest.mark.parametrize("command", [capture, void, outcome("authorise")])
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
    ],
)
def test_the_state_says_what_is_wanted_of_the_gateway(history: tuple[object, ...], intent: type | None) -> None:
    wanted = payments.pending(ORDER, reduce(payments.evolve, history, payments.initial))
    assert (wanted and type(wanted)) == intent
