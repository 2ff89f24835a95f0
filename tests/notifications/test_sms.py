"""SMS as they are sent: what the service answers is an answer, and what it does not leaves the outcome open."""

import pytest

from infra.errors import Undeliverable, Unknown
from infra.model import Attempt
from streams.notifications.decider.message import Deliver
from streams.notifications.effects.sms import connect
from tests.answering import Said, answering
from tests.notifications.examples import needs

message = Deliver("n", "customer-1", "sms", "+4917012345", "subject", "body")


async def sent(*answers: Said) -> str:
    async with answering(*answers) as somebody, connect(needs(sms=somebody.address)) as send:
        return await send(message, Attempt("key"))


BODIES = [
    b'{"sid": "SM1"}',
    b"",
    b"created",
    b"[]",
    b"5",
    b"\xff",
    b"[" * 60_000,
    b'{"sid": "' + b"x" * 100_000 + b'"}',
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_a_message_that_was_made_is_sent_whatever_else_is_said(body: bytes) -> None:
    assert len(await sent(Said(201, body))) == 8


@pytest.mark.parametrize("body", [b'{"code": 21211}', b'{"code": ["x"]}', b"5", b"[]", b"", b"<html>"])
@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_status_of_4xx_is_an_answer(status: int, body: bytes) -> None:
    with pytest.raises(Undeliverable, match=str(status)) as raised:
        await sent(Said(status, body))
    assert message.recipient not in str(raised.value)


@pytest.mark.parametrize("status", [401, 403, 408, 409, 425, 429, 200, 204, 302, 500, 503])
async def test_what_is_ours_to_mend_or_no_answer_leaves_it_open(status: int) -> None:
    with pytest.raises(Unknown, match=str(status)):
        await sent(Said(status))


async def test_a_redirect_is_not_followed() -> None:
    async with answering(Said(201)) as elsewhere:
        with pytest.raises(Unknown):
            await sent(Said(307, headers={"Location": elsewhere.address}))
        assert elsewhere.asked == []
