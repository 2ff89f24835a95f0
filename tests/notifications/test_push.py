"""Push addresses, which a customer names: no host that is not on the public internet is asked, whatever they say."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from infra.edge import outside
from infra.errors import Undeliverable, Unknown
from infra.model import Attempt
from streams.notifications.decider.message import Deliver
from streams.notifications.effects.push import PATIENCE_S, connect
from streams.notifications.effects.subscription import MAX_ENDPOINT, MAX_SUBSCRIPTION, subscription_of
from streams.notifications.needs import signing_key
from tests.answering import Said, answering
from tests.notifications.examples import needs

P256DH = "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM"
KEYS = {"p256dh": P256DH, "auth": "tBHItJI5svbpez7KI4CCXg"}
KEY = SecretStr(signing_key())
ATTEMPT = Attempt("key")
NEARBY = "http://127.0.0.1:8181"
FCM = "https://fcm.googleapis.com/fcm/send/abc:def-_"


def subscription(endpoint: object, keys: object = KEYS) -> str:
    return json.dumps({"endpoint": endpoint, "expirationTime": None, "keys": keys})


async def sent(recipient: str, nearby: str | None = NEARBY, attempt: Attempt = ATTEMPT) -> str:
    async with connect(needs(push=nearby, push_key=KEY, gateway_timeout=2.0)) as send:
        return await send(Deliver("n", "customer-1", "push", recipient, "subject", "body"), attempt)


GOOD = [
    FCM,
    "https://updates.push.services.mozilla.com/wpush/v2/x",
    "https://web.push.apple.com:443/x",
    "https://1.1.1.1/x",
]


@pytest.mark.parametrize("endpoint", [*GOOD, "https://[2606:4700:4700::1111]/x", f"{NEARBY}/push/x"])
def test_what_browsers_give_is_understood(endpoint: str) -> None:
    assert subscription_of(subscription(endpoint), NEARBY).endpoint == endpoint


NO_SUBSCRIPTION = [
    "",
    "{}",
    "5",
    "null",
    '"x"',
    "[" * 4000,
    "{",
    subscription(5),
    subscription(None),
    subscription(["https://x.example/"]),
    subscription(FCM, 5),
    subscription(FCM, None),
    subscription(FCM, []),
    subscription(FCM, {}),
    subscription(FCM, {"p256dh": 5, "auth": 5}),
    subscription(FCM, KEYS | {"auth": ""}),
    subscription(FCM, KEYS | {"auth": "AAAA"}),
    subscription(FCM, KEYS | {"auth": "ä" * 22}),
    subscription(FCM, KEYS | {"auth": "A" * 1000}),
    subscription(FCM, KEYS | {"p256dh": "AAAA"}),
    subscription(FCM, KEYS | {"p256dh": ""}),
    subscription(FCM, KEYS | {"p256dh": "B" * 87}),
    subscription(FCM, KEYS | {"p256dh": "A" * 3000}),
    subscription("https:///x"),
    subscription("https://[::1/x"),
    subscription("https://x\0y.example/x"),
    subscription("https://x.example/\n"),
    subscription("https://x.example/ x"),
    subscription("https://x.example\\@127.0.0.1/"),
    subscription("https://127.0.0.1:70000/x"),
    subscription("https://x.example:port/x"),
    subscription("https://ada:secret@x.example/x"),
    subscription("http://127.0.0.1:8181@127.0.0.1:9/evil"),
    subscription("https://%31%32%37.0.0.1/x"),
    subscription("https://ｘ.example/x"),
    subscription("//x.example/x"),
    subscription("x.example"),
    subscription("https://x.example/" + "x" * MAX_ENDPOINT),
    subscription(FCM) + " " * MAX_SUBSCRIPTION,
    json.dumps({"endpoint": "https://\ud800.example/x", "keys": KEYS}),
]


@pytest.mark.parametrize("recipient", NO_SUBSCRIPTION, ids=range(len(NO_SUBSCRIPTION)))
async def test_what_is_no_subscription_cannot_be_delivered_to(recipient: str) -> None:
    with pytest.raises(Undeliverable) as raised:
        await sent(recipient)
    assert "example" not in str(raised.value)


HOSTS = [
    *("127.0.0.1", "127.1", "0.0.0.0", "0", "2130706433", "0x7f.1", "017700000001", "10.0.0.1", "172.16.0.1"),
    *("192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1"),
    *("255.255.255.255", "[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[ff02::1]", "[::ffff:127.0.0.1]"),
    *("[2002:7f00:1::]", "[64:ff9b::7f00:1]", "[2001:db8::1]", "[fec0::1]", "localhost", "kafka", "postgres."),
]


@pytest.mark.parametrize("host", HOSTS)
async def test_no_host_is_asked_that_is_not_on_the_public_internet(host: str) -> None:
    with pytest.raises(Undeliverable):
        await sent(subscription(f"https://{host}/x"))


@pytest.mark.parametrize(
    "endpoint", ["http://x.example/x", "ftp://x.example/x", "file:///etc/passwd", "wss://x.example/"]
)
async def test_a_push_service_is_reached_over_https(endpoint: str) -> None:
    with pytest.raises(Undeliverable):
        await sent(subscription(endpoint))


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8182/x", "http://127.0.0.1/x", "https://127.0.0.1:8181/x"])
async def test_of_what_is_nearby_only_the_stand_in_is_asked(endpoint: str) -> None:
    with pytest.raises(Undeliverable):
        await sent(subscription(endpoint))


async def test_without_a_stand_in_nothing_nearby_is_asked() -> None:
    with pytest.raises(Undeliverable):
        await sent(subscription(f"{NEARBY}/push/x"), nearby=None)


@contextmanager
def resolving(monkeypatch: pytest.MonkeyPatch, **hosts: list[str]) -> Iterator[None]:
    """Names as they are found, instead of by DNS."""

    def look(host: str, port: int, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        found = hosts[host.partition(".")[0]]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    yield


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["10.0.0.1", "192.168.0.1"], ["169.254.169.254"]])
async def test_a_name_that_leads_to_a_private_address_is_not_gone_to(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    with resolving(monkeypatch, rebound=addresses), pytest.raises(Undeliverable, match="public internet"):
        await sent(subscription("https://rebound.example/x"))


async def test_of_what_a_name_leads_to_only_public_addresses_are_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with resolving(monkeypatch, both=["127.0.0.1", "1.1.1.1"]):
        found = await outside.PublicResolver().resolve("both.example", 443)
    assert [result["host"] for result in found] == ["1.1.1.1"]


async def test_a_name_that_nobody_can_have_is_not_gone_to() -> None:
    with pytest.raises(Undeliverable):
        await sent(subscription(f"https://{'x' * 64}.example/x"))


async def test_names_that_are_looked_for_without_end_keep_no_other_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        over.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    resolver = outside.PublicResolver()
    looking = [asyncio.create_task(resolver.resolve(f"host-{number}.example")) for number in range(100)]
    await asyncio.sleep(0.1)
    try:
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(lambda: "free") == "free"
    finally:
        over.set()
        for task in looking:
            task.cancel()
        await resolver.close()


# -- what the service answers


async def answered(*answers: Said, attempt: Attempt = ATTEMPT) -> str:
    async with answering(*answers) as somebody:
        return await sent(subscription(f"{somebody.address}/push/x"), somebody.address, attempt)


@pytest.mark.parametrize("said", [Said(201), Said(200), Said(202, b"x" * 1_000_000), Said(204)])
async def test_a_message_that_was_taken_is_sent(said: Said) -> None:
    assert len(await answered(said)) == 32


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413])
async def test_a_status_of_4xx_is_an_answer(status: int) -> None:
    with pytest.raises(Undeliverable, match=str(status)):
        await answered(Said(status, b"x" * 1_000_000))


@pytest.mark.parametrize("status", [301, 307, 408, 409, 425, 429, 500, 503])
async def test_anything_else_leaves_it_open(status: int) -> None:
    with pytest.raises(Unknown, match=str(status)):
        await answered(Said(status))


async def test_a_redirect_is_not_followed() -> None:
    async with answering(Said(201)) as elsewhere:
        with pytest.raises(Unknown):
            await answered(Said(307, headers={"Location": elsewhere.address}))
        assert elsewhere.asked == []


async def test_a_host_that_has_not_answered_for_long_is_given_up() -> None:
    with pytest.raises(Undeliverable, match="for long"):
        await answered(Said(503), attempt=Attempt("key", age_s=PATIENCE_S + 1))


async def test_each_host_has_a_circuit_of_its_own() -> None:
    asked: list[str] = []

    @contextmanager
    def through(part: str) -> Iterator[None]:
        asked.append(part)
        yield

    await answered(Said(201), attempt=Attempt("key", through=through))
    assert asked == ["127.0.0.1"]


async def test_what_is_sent_is_encrypted_signed_and_named_by_the_attempt() -> None:
    async with answering(Said(201)) as somebody:
        topic = await sent(subscription(f"{somebody.address}/push/x"), somebody.address)
    headers = somebody.asked[0].headers
    assert headers["Topic"] == topic
    assert headers["Content-Encoding"] == "aes128gcm" and headers["Authorization"].startswith("vapid t=")
    assert b"subject" not in somebody.bodies[0]
