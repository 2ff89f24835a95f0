"""What goes wrong outside ends nothing else, and a person can look after it."""

import asyncio
import json
from collections.abc import Iterator

import aiohttp
import pytest

from tests.live.harness import LiveMesh, until
from tests.live.shop import PATIENCE, answer, order, payment, place, registered, row, saga
from tests.live.weft import weft

SUBSCRIPTIONS = ('{"endpoint": 5}', "5", '{"endpoint": "https://127.0.0.1:1/x", "keys": 5}', "[" * 2000)


@pytest.mark.parametrize("number", range(len(SUBSCRIPTIONS)))
def test_a_push_address_that_is_none_fails_its_message_and_nothing_else(shop: LiveMesh, number: int) -> None:
    user = registered(shop, f"pushed-{number}")
    channel = {"kind": "push", "address": SUBSCRIPTIONS[number]}
    assert answer(shop, "users.ChangeContactChannels", user, channels=[channel])["status"] == "accepted"
    place(shop, f"pushed-{number}", customer_id=user)
    sent = row(shop, "SELECT * FROM notifications WHERE order_id = $1 AND status = 'failed'", f"pushed-{number}")
    assert "PushSubscription" in sent["reason"]
    saga(shop, f"pushed-{number}", "to be shipped")


def test_a_card_the_gateway_does_not_take_is_declined(shop: LiveMesh) -> None:
    place(shop, "long-card", card="c" * 70_000)
    assert "413" in payment(shop, "long-card", "declined")["reason"]


@pytest.fixture
def outage(shop: LiveMesh) -> Iterator[None]:
    """The gateway is away, and back again for whoever is next."""

    async def until_in(seconds: float) -> None:
        url = f"{shop.settings.given('gateway')}/v1/outage"
        async with aiohttp.ClientSession() as http, http.post(url, json={"seconds": seconds}) as response:
            assert response.status == 200

    asyncio.run(until_in(600))
    yield
    asyncio.run(until_in(0))


def opened(live: LiveMesh, order_id: str) -> str:
    """The key of what is open of an order."""

    def keys() -> list[str]:
        lines = weft(live, "effects", "list", "payments", "--all", "--json").stdout.splitlines()
        return [wish["key"] for wish in map(json.loads, lines) if wish["subject"] == order_id]

    return until(keys, PATIENCE, "it is open")[0]


def effects(live: LiveMesh, *arguments: str) -> tuple[int, str]:
    done = weft(live, "effects", *arguments)
    return done.returncode, done.stdout + done.stderr


def test_what_is_open_is_shown_and_answered_by_hand(shop: LiveMesh, outage: None) -> None:
    # given two payments that wait for a gateway that is away
    shop.send(order("by-hand"), order("given-up"))
    first, second = opened(shop, "by-hand"), opened(shop, "given-up")
    code, output = effects(shop, "show", "payments", first)
    assert (code, "Authorise" in output, "by-hand" in output) == (0, True, True)
    # when nobody agrees, then nothing is posted
    assert effects(shop, "give-up", "payments", second, "--reason", "a test")[0] == 1
    # when one is given up, and the other is answered
    code, output = effects(shop, "give-up", "payments", second, "--reason", "a test", "--yes")
    assert (code, "PaymentDeclined" in output) == (0, True)
    said = json.dumps({"step": "authorise", "ok": False, "authorisation": "", "reason": "by telephone"})
    code, output = effects(shop, "answer", "payments", first, "payments.RecordGatewayOutcome", said, "--yes")
    assert (code, "PaymentDeclined" in output) == (0, True)
    # then that is what became of them
    assert payment(shop, "given-up", "declined")["reason"] == "a test"
    assert payment(shop, "by-hand", "declined")["reason"] == "by telephone"
    assert effects(shop, "show", "payments", first)[0] == 1


def test_what_was_tried_in_vain_is_listed_and_tried_again_at_once(shop: LiveMesh) -> None:
    code, output = effects(shop, "retry", "payments", "payments.events/0/999999")
    assert (code, "not open" in output) == (1, True)
    assert effects(shop, "list", "payments")[0] == 0
