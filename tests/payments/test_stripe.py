"""The Stripe adapter: requests as Stripe's OpenAPI has them, answers and webhooks as what they mean."""

import json
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
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
from tests.answering import Said
from tests.answering import answering as answered
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


@pytest.mark.parametrize("status", [405, 410, 413, 414, 431])
async def test_a_status_of_4xx_is_an_answer(status: int) -> None:
    record = await outcome(authorise, (status, {}))
    assert (record.ok, record.reason) == (False, f"refused: {status}")


ODD = [
    b"",
    b"ok",
    b"5",
    b"null",
    b"[]",
    b"{}",
    b"\xff",
    b"[" * 60_000,
    b'{"object": "payment_intent", "id": "pi_1"}',
    b'{"object": "payment_intent", "id": 5, "status": "requires_capture"}',
    b'{"object": "payment_intent", "id": "pi_1", "status": ["requires_capture"]}',
    b'{"object": "payment_intent", "id": "pi_1", "status": "requires_capture", "x": "' + b"x" * 100_000 + b'"}',
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("intent", [authorise, capture, void, refund])
async def test_what_is_not_the_shape_of_an_answer_leaves_the_outcome_open(intent: Any, body: bytes) -> None:
    async with answered(Said(200, body)) as somebody, connect(needs(somebody.address)) as perform:
        with pytest.raises(Unknown):
            await perform(intent, Attempt("k"))


async def test_a_redirect_is_not_followed() -> None:
    async with answered(Said(200)) as elsewhere, answered(Said(307, headers={"Location": elsewhere.address})) as here:
        async with connect(needs(here.address)) as perform:
            with pytest.raises(Unknown):
                await perform(authorise, Attempt("k"))
        assert elsewhere.asked == []


# -- what may have been asked before


OLD = Attempt("k", age_s=21 * 3600)
DOUBTFUL = Attempt("k", is_doubtful=True)


def listed(*resources: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return 200, {"object": "list", "url": "/", "has_more": False, "data": list(resources)}


def of(resource: tuple[int, dict[str, Any]], **metadata: str) -> dict[str, Any]:
    return resource[1] | {"metadata": metadata}


async def attempted(intent: Any, attempt: Attempt, *answers: tuple[int, dict[str, Any]]) -> tuple[Any, list[str]]:
    """The outcome, and what was asked for it."""
    requests: list[web.Request] = []
    async with answering(list(answers), requests) as address, connect(needs(address)) as perform:
        record = await perform(intent, attempt)
    return record, [f"{request.method} {request.path}" for request in requests]


SEARCH, CREATE = "GET /v1/payment_intents/search", "POST /v1/payment_intents"


@pytest.mark.parametrize("attempt", [OLD, DOUBTFUL])
@pytest.mark.parametrize("metadata", [{"order_id": ORDER, "intent": "k"}, {"order_id": ORDER}])
async def test_a_hold_that_may_have_been_asked_for_is_looked_for_first(attempt: Attempt, metadata: Any) -> None:
    record, asked = await attempted(authorise, attempt, listed(of(payment("requires_capture"), **metadata)))
    assert (record.ok, record.authorisation, asked) == (True, "pi_1", [SEARCH])


async def test_a_hold_of_another_mesh_with_the_same_order_is_not_taken_for_ours() -> None:
    theirs = of(payment("requires_capture"), order_id=ORDER, intent="another/payments.events/0/1")
    record, asked = await attempted(authorise, OLD, listed(theirs), payment("requires_capture"))
    assert (record.ok, asked) == (True, [SEARCH, CREATE])


async def test_what_is_nowhere_to_be_found_is_asked_for_under_the_same_key() -> None:
    requests: list[web.Request] = []
    async with (
        answering([error(500, "api_error"), listed(), payment("requires_capture")], requests) as address,
        connect(needs(address)) as perform,
    ):
        with pytest.raises(Unknown):
            await perform(authorise, Attempt("k"))
        await perform(authorise, DOUBTFUL)
    assert [r.headers.get("Idempotency-Key") for r in requests if r.method == "POST"] == ["k", "k"]


async def test_where_it_cannot_be_looked_for_it_is_not_asked_for() -> None:
    with pytest.raises(Unknown):
        await attempted(authorise, OLD, error(400, "invalid_request_error"))


async def test_an_orders_name_is_only_a_name_in_a_search() -> None:
    requests: list[web.Request] = []
    odd = replace(authorise, order_id="o'1\\")
    async with (
        answering([listed(), payment("requires_capture")], requests) as address,
        connect(needs(address)) as perform,
    ):
        await perform(odd, OLD)
    assert requests[0].query["query"] == "metadata['order_id']:'o\\'1\\\\'"


@pytest.mark.parametrize(
    ("intent", "status", "step", "ok"),
    [
        (capture, "succeeded", "capture", True),
        (capture, "canceled", "capture", False),
        (void, "canceled", "void", True),
    ],
)
async def test_what_became_of_a_payment_is_looked_for_first(intent: Any, status: str, step: str, ok: bool) -> None:
    record, asked = await attempted(intent, OLD, payment(status))
    assert (record.step, record.ok, asked) == (step, ok, ["GET /v1/payment_intents/pi_1"])


async def test_a_refund_is_looked_for_by_its_id() -> None:
    others = of((200, refunded("failed")[1] | {"id": "re_0"}), refund_id="r0")
    record, asked = await attempted(refund, DOUBTFUL, listed(others, of(refunded("succeeded"), refund_id="r1")))
    assert (record.ok, record.refund_id, asked) == (True, "r1", ["GET /v1/refunds"])


async def test_a_key_that_is_known_with_other_content_says_that_it_was_asked() -> None:
    found = listed(of(payment("requires_capture"), order_id=ORDER, intent="k"))
    record, asked = await attempted(authorise, Attempt("k"), error(400, "idempotency_error"), found)
    assert (record.ok, asked) == (True, [CREATE, SEARCH])


async def test_a_void_of_what_was_captured_by_hand_says_that_it_was_captured() -> None:
    record, _ = await attempted(void, Attempt("k"), UNEXPECTED, payment("succeeded"))
    assert (record.step, record.ok, record.authorisation) == ("capture", True, "pi_1")


async def test_what_is_asked_for_says_which_intent_it_is_of() -> None:
    answer = Said(200, json.dumps(payment("requires_capture")[1]).encode())
    async with answered(answer) as somebody, connect(needs(somebody.address)) as perform:
        await perform(authorise, Attempt("topic-id/payments.events/0/1"))
    assert b"metadata[intent]=topic-id%2Fpayments.events%2F0%2F1" in somebody.bodies[0]


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


@pytest.mark.parametrize("body", [b"5", b"[]", b"{}", b'{"type": 5}', b'{"type": "x", "data": 5}', b"[" * 60_000])
def test_what_is_signed_and_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal):
        heard(body)


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
