"""The Stripe adapter: requests as Stripe's OpenAPI has them, answers and webhooks as what they mean."""

import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from commands.payments import RecordGatewayOutcome
from infra.errors import Refusal, Unknown
from infra.model import Attempt
from streams.payments.decider import Authorise, Capture, Money, Refund, Void
from streams.payments.effects.stripe import connect, hear
from streams.payments.needs import Needs
from tests.payments import stripe_mock
from tests.payments.examples import ORDER
from tests.payments.stripe_mock import SECRET, event, signed

authorise = Authorise(ORDER, Money(2630, "EUR", "customer-1"), "pm_card_visa")
capture, void = Capture(ORDER, "pi_1"), Void(ORDER, "pi_1")
refund = Refund(ORDER, "pi_1", "r1", 630)


def needs(gateway: str) -> Needs:
    return Needs(gateway=gateway, stripe_key=SecretStr("sk_test_123"), stripe_webhook_secret=SecretStr(SECRET))


# -- against Stripe's own mock


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    if shutil.which("go") is None:
        pytest.skip("stripe-mock is built with Go, and there is none")
    with stripe_mock.running() as address:
        yield address


@pytest.mark.parametrize("intent", [authorise, capture, void, refund])
async def test_every_request_is_one_that_stripe_understands(mock: str, intent: Any) -> None:
    async with connect(needs(mock)) as perform:
        record = await perform(intent, Attempt("payments.events/0/1"))
    assert (record.order_id, record.step) == (ORDER, type(intent).__name__.lower())
    assert not record.reason.startswith("refused")


# -- against answers we choose


Answers = list[tuple[int, dict[str, Any]]]


@asynccontextmanager
async def answering(answers: Answers, requests: list[web.Request] | None = None) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        if requests is not None:
            requests.append(request)
        status, body = answers.pop(0)
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def outcome(intent: Any, *answers: tuple[int, dict[str, Any]]) -> RecordGatewayOutcome:
    async with answering(list(answers)) as address, connect(needs(address)) as perform:
        return await perform(intent, Attempt("k"))


def payment(status: str) -> tuple[int, dict[str, Any]]:
    return 200, {"id": "pi_1", "object": "payment_intent", "status": status}


def error(status: int, kind: str, **more: Any) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"type": kind, "message": "said so", **more}}


def refunded(status: str) -> tuple[int, dict[str, Any]]:
    return 200, {"id": "re_1", "object": "refund", "status": status, "failure_reason": "lost_or_stolen_card"}


UNEXPECTED = error(400, "invalid_request_error", code="payment_intent_unexpected_state")


@pytest.mark.parametrize(
    ("intent", "answers", "ok", "reason"),
    [
        (authorise, [payment("requires_capture")], True, ""),
        (authorise, [payment("requires_action")], False, "the payment is requires_action"),
        (authorise, [error(402, "card_error", code="card_declined")], False, "said so"),
        (authorise, [error(400, "invalid_request_error", code="resource_missing")], False, "refused: resource_missing"),
        (capture, [payment("succeeded")], True, ""),
        (capture, [UNEXPECTED, payment("succeeded")], True, ""),
        (capture, [UNEXPECTED, payment("canceled")], False, "the payment is canceled"),
        (void, [payment("canceled")], True, ""),
        (void, [UNEXPECTED, payment("canceled")], True, ""),
        (refund, [refunded("succeeded")], True, ""),
        (refund, [refunded("pending"), refunded("succeeded")], True, ""),
        (refund, [refunded("failed")], False, "lost_or_stolen_card"),
    ],
)
async def test_what_stripe_answers_is_taken_for_what_it_means(
    intent: Any, answers: Answers, ok: bool, reason: str
) -> None:
    record = await outcome(intent, *answers)
    assert (record.ok, record.reason) == (ok, reason)


@pytest.mark.parametrize(
    ("intent", "answers"),
    [
        (authorise, [error(500, "api_error")]),
        (authorise, [error(429, "rate_limit_error")]),
        (authorise, [error(409, "idempotency_error")]),
        (authorise, [error(401, "authentication_error")]),
        (capture, [UNEXPECTED, error(500, "api_error")]),
        (refund, [refunded("pending"), refunded("pending")]),
    ],
)
async def test_what_leaves_the_outcome_open_is_unknown(intent: Any, answers: Answers) -> None:
    with pytest.raises(Unknown):
        await outcome(intent, *answers)


async def test_nobody_there_is_unknown() -> None:
    async with connect(needs("http://127.0.0.1:1")) as perform:
        with pytest.raises(Unknown):
            await perform(authorise, Attempt("k"))


async def test_asking_again_carries_the_same_idempotency_key() -> None:
    requests: list[web.Request] = []
    async with (
        answering([payment("requires_capture")] * 2, requests) as address,
        connect(needs(address)) as perform,
    ):
        for _ in range(2):
            await perform(authorise, Attempt("payments.events/0/1"))
    assert [request.headers["Idempotency-Key"] for request in requests] == ["payments.events/0/1"] * 2


# -- webhooks


def heard(body: bytes) -> tuple[str, RecordGatewayOutcome] | None:
    return hear(needs("-"), signed(body), body)


@pytest.mark.parametrize(
    ("kind", "step", "ok"),
    [
        ("payment_intent.amount_capturable_updated", "authorise", True),
        ("payment_intent.payment_failed", "authorise", False),
        ("payment_intent.succeeded", "capture", True),
        ("payment_intent.canceled", "void", True),
    ],
)
def test_a_webhook_is_the_outcome_of_a_step_under_stripes_event_id(kind: str, step: str, ok: bool) -> None:
    message = heard(event(kind))
    assert message is not None
    identity, outcome = message
    assert (identity, outcome.order_id, outcome.step, outcome.ok, outcome.authorisation) == (
        "stripe/evt_1",
        ORDER,
        step,
        ok,
        "pi_1",
    )


def test_a_webhook_of_a_refund_says_which() -> None:
    about = {"id": "re_1", "object": "refund", "payment_intent": "pi_1", "status": "succeeded"}
    message = heard(event("refund.updated", **about, metadata={"order_id": ORDER, "refund_id": "r1"}))
    assert message is not None
    assert (message[1].step, message[1].refund_id, message[1].authorisation) == ("refund", "r1", "pi_1")


@pytest.mark.parametrize("body", [event("customer.created"), event("payment_intent.succeeded", metadata={})])
def test_what_is_not_about_a_payment_of_ours_is_of_no_interest(body: bytes) -> None:
    assert heard(body) is None


BODY = event("payment_intent.succeeded")


@pytest.mark.parametrize(
    "headers", [{}, signed(BODY, secret="another"), signed(BODY, at=time.time() - 3600), signed(BODY + b" ")]
)
def test_what_stripe_did_not_sign_just_now_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Refusal, match="not signed"):
        hear(needs("-"), headers, BODY)


def test_without_the_secret_nothing_is_believed() -> None:
    with pytest.raises(Refusal, match="WEFT_STRIPE_WEBHOOK_SECRET"):
        hear(Needs(), signed(BODY), BODY)
