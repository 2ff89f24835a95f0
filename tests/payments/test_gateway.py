"""The sandbox gateway as payments ask it: what it answers is an outcome, and whatever is no answer leaves that open."""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from commands.payments import RecordGatewayOutcome
from infra.errors import Unknown
from infra.model import Attempt
from infra.shop.outside.gateway import Gateway, Ledger
from streams.payments.decider import Authorise, Capture, Money, Refund, Void
from streams.payments.effects import give_up
from streams.payments.effects.sandbox import connect
from streams.payments.needs import Needs
from tests.answering import Said, answering, serving
from tests.payments.examples import ORDER

authorise = Authorise(ORDER, Money(2630, "EUR", "customer-1"), "card_ok")
INTENTS = [authorise, Capture(ORDER, "auth_1"), Void(ORDER, "auth_1"), Refund(ORDER, "auth_1", "r1", 5)]


async def asked(intent: Any, *answers: Said) -> RecordGatewayOutcome:
    async with answering(*answers) as somebody, connect(Needs(gateway=somebody.address)) as perform:
        return await perform(intent, Attempt("key"))


def content(**changed: Any) -> bytes:
    return json.dumps({"authorisation": "auth_1", "outcome": "ok", "reason": ""} | changed).encode()


@pytest.mark.parametrize("intent", INTENTS)
@pytest.mark.parametrize("status", [400, 402, 404, 405, 410, 413, 414, 415, 422, 431, 451])
async def test_a_status_of_4xx_is_an_answer(intent: Any, status: int) -> None:
    outcome = await asked(intent, Said(status, b"card_secret of ada"))
    assert (outcome.order_id, outcome.step, outcome.ok) == (ORDER, type(intent).__name__.lower(), False)
    assert outcome.reason == f"the payment gateway refused it: {status}"


@pytest.mark.parametrize("status", [408, 409, 425, 429, 401, 403, 407, 500, 502, 503, 504, 599])
async def test_not_now_and_not_let_in_leave_the_outcome_open(status: int) -> None:
    with pytest.raises(Unknown, match=str(status)):
        await asked(authorise, Said(status))


ODD = [
    b"",
    b"created",
    b"{",
    b"null",
    b"5",
    b"[]",
    b'["authorisation", "outcome", "reason"]',
    b"{}",
    b"\xff\xfe",
    b"[" * 60_000,
    content(outcome="perhaps"),
    content(outcome=None),
    content(outcome=["ok"]),
    content(authorisation=5),
    content(authorisation=None),
    content(authorisation="x" * 300),
    content(reason={"a": 1}),
    b'{"outcome": "ok"}',
    content() + b" " * 100_000,
    content(reason="x" * 2_000_000),
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_what_is_not_the_shape_of_an_outcome_leaves_it_open(status: int, body: bytes) -> None:
    with pytest.raises(Unknown):
        await asked(authorise, Said(status, b"" if status == 204 else body))


async def test_a_redirect_is_not_followed() -> None:
    async with answering(Said(201, content())) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            with pytest.raises(Unknown, match=str(status)):
                await asked(authorise, Said(status, headers={"Location": elsewhere.address}))
        assert elsewhere.asked == []


async def test_a_small_answer_that_becomes_a_large_one_is_not_unpacked() -> None:
    bomb = zlib.compress(b" " * 50_000_000)
    with pytest.raises(Unknown):
        await asked(authorise, Said(201, bomb, {"Content-Encoding": "deflate"}))


async def test_a_reason_is_fit_to_be_kept() -> None:
    outcome = await asked(authorise, Said(201, content(outcome="declined", reason="\ud800" + "x" * 10_000)))
    assert (outcome.ok, outcome.reason[:2], len(outcome.reason)) == (False, "?x", 200)


async def test_a_card_that_is_too_long_for_it_is_declined(tmp_path: Path) -> None:
    gateway = Gateway(Ledger(tmp_path / "ledger.jsonl")).app()
    async with serving(gateway) as address, connect(Needs(gateway=address)) as perform:
        outcome = await perform(Authorise(ORDER, authorise.money, "c" * 70_000), Attempt("key"))
    assert (outcome.ok, outcome.reason) == (False, "the payment gateway refused it: 413")


async def test_it_is_asked_under_the_key_of_the_attempt() -> None:
    async with answering(Said(201, content())) as somebody, connect(Needs(gateway=somebody.address)) as perform:
        await perform(authorise, Attempt("topic-id/payments.events/0/1"))
    assert somebody.asked[0].headers["Idempotency-Key"] == "topic-id/payments.events/0/1"


async def test_what_an_authorisation_is_called_is_one_step_of_a_path() -> None:
    async with answering(Said(201, content())) as somebody, connect(Needs(gateway=somebody.address)) as perform:
        await perform(Void(ORDER, "../../v1/outage?x"), Attempt("key"))
    assert somebody.asked[0].raw_path == "/v1/authorisations/..%2F..%2Fv1%2Foutage%3Fx/void"


@pytest.mark.parametrize("intent", INTENTS)
def test_what_is_given_up_is_refused_for_a_reason(intent: Any) -> None:
    outcome = give_up(intent, "nobody knows of it")
    assert (outcome.order_id, outcome.step, outcome.ok) == (ORDER, type(intent).__name__.lower(), False)
    assert (outcome.reason, outcome.refund_id) == ("nobody knows of it", "r1" if isinstance(intent, Refund) else "")
