"""What the shop can do, feature by feature, through Kafka and Postgres."""

import asyncio
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import aiohttp
import asyncpg
import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infra.edge import client, webhooks
from infra.edge.client import Wish
from infra.edge.identity import service as identity
from infra.errors import BadCredentials, BadToken, Erased, Refusal
from infra.model.needs import IdentityNeeds, needed
from tests.live.harness import LiveMesh, until
from tests.live.shop import (
    PATIENCE,
    answer,
    audit,
    order,
    paid_order,
    payment,
    place,
    receipt,
    registered,
    row,
    saga,
    send,
    told,
    until_at_rest,
    user,
)
from tests.payments.stripe_mock import SECRET, event, signed


def messages(live: LiveMesh) -> list[dict[str, Any]]:
    """What arrived by SMS and push."""

    async def ask() -> Any:
        async with aiohttp.ClientSession() as http, http.get(f"{live.settings.given('sms')}/v1/messages") as response:
            return await response.json()

    inbox: list[dict[str, Any]] = asyncio.run(ask())
    return inbox


# -- users


def test_users_registration(shop: LiveMesh) -> None:
    send(shop, "users.RegisterUser", "grace", email="grace@example.org", name="Grace")
    assert user(shop, "grace")["channels"] == "email"


def test_users_an_address_has_one_owner_also_when_two_ask_at_once(shop: LiveMesh) -> None:
    shop.send(
        *(
            Wish("users.RegisterUser", name, {"email": address, "name": name})
            for name, address in (("twin-1", "Twin@example.org"), ("twin-2", "twin@example.org "))
        )
    )
    ended = [user(shop, name, where=lambda r: r["status"] != "pending")["status"] for name in ("twin-1", "twin-2")]
    assert sorted(ended) == ["active", "refused"]


def test_users_profile(shop: LiveMesh) -> None:
    registered(shop, "hedy")
    assert answer(shop, "users.ChangeProfile", "hedy", name="Hedwig")["status"] == "accepted"


def test_users_contact_channels(shop: LiveMesh) -> None:
    registered(shop, "joan")
    channels = [{"kind": "sms", "address": "+491511111111"}, {"kind": "email", "address": "joan@example.org"}]
    send(shop, "users.ChangeContactChannels", "joan", channels=channels)
    assert user(shop, "joan", where=lambda r: r["channels"] == "sms, email")


def test_users_erasure(shop: LiveMesh) -> None:
    registered(shop, "leaver")
    paid_order(shop, "erase-1", customer_id="leaver")
    assert answer(shop, "users.EraseUser", "leaver")["status"] == "accepted"
    until(lambda: not shop.query("SELECT 1 FROM users WHERE user_id = 'leaver'"), PATIENCE, "the row is gone")
    destroyed = "SELECT 1 FROM users_events WHERE subject = 'leaver' AND type = 'users.KeyDestroyed'"
    until(lambda: shop.query(destroyed), PATIENCE, "the key is destroyed")
    with pytest.raises(Erased):
        send(shop, "users.RegisterUser", "leaver", email="leaver@example.org", name="Leaver")
    send(shop, "orders.CancelOrder", "erase-1", reason="x")
    assert told(shop, "erase-1", "cancelled")["reason"] == "the customer was erased"
    assert registered(shop, "leaver-2")  # and the address of an erased user is free again
    send(shop, "users.RegisterUser", "heir", email="leaver@example.org", name="Heir")
    user(shop, "heir")


def test_users_login_refresh_and_logout(shop: LiveMesh) -> None:
    password = "correct horse battery staple"

    async def story() -> None:
        async with identity.opened(needed(shop.settings, IdentityNeeds)) as logins:

            async def register(user_id: str | None, name: str, email: str, secret: str = password) -> Wish:
                wish = Wish("users.RegisterUser", user_id, {"email": email, "name": name})
                return await logins.register(shop.mesh.codec, wish, secret)

            wish = await register("vera", "Vera", "vera@example.org")
            assert wish.id == (await register("vera", "Vera", "vera@example.org")).id
            shop.post([client.asked(shop.mesh, wish)])
            with pytest.raises(Refusal, match="registered"):
                await register("eve", "Eve", "Vera@example.org")
            with pytest.raises(Refusal, match="12 to 256"):
                await register(None, "S", "short@example.org", "short")
            for email, wrong in (("vera@example.org", "not her password"), ("nobody@example.org", password)):
                with pytest.raises(BadCredentials):
                    await logins.login(email, wrong)
            first = await logins.login("vera@example.org", password)
            claims = logins.verify(first.access_token)
            assert claims.user_id == "vera"
            second = await logins.refresh(first.refresh_token)
            assert logins.verify(second.access_token) == claims
            with pytest.raises(BadToken, match="used before"):  # somebody has a copy: the session ends for both
                await logins.refresh(first.refresh_token)
            with pytest.raises(BadToken):
                await logins.refresh(second.refresh_token)
            third = await logins.login("vera@example.org", password)
            await logins.logout(logins.verify(third.access_token).session)
            with pytest.raises(BadToken):
                await logins.refresh(third.refresh_token)

    asyncio.run(story())
    user(shop, "vera")


# -- products


def listed(live: LiveMesh, sku: str, price: int = 500, stock: int = 5, **more: Any) -> str:
    send(live, "products.ListProduct", sku, **{"name": sku, "unit_price_minor": price, "currency": "EUR"} | more)
    send(live, "products.AdjustStock", sku, delta=stock, reason="delivery")
    row(live, "SELECT * FROM stock WHERE sku = $1", sku, where=lambda r: r["on_hand"] == stock)
    row(live, "SELECT * FROM products WHERE sku = $1", sku)
    return sku


def line(sku: str, quantity: int = 1, price: int = 500) -> list[dict[str, Any]]:
    return [{"sku": sku, "quantity": quantity, "unit_price_minor": price}]


def test_products_listing_and_price(shop: LiveMesh) -> None:
    listed(shop, "globe", 500)
    send(shop, "products.ChangePrice", "globe", unit_price_minor=600)
    row(shop, "SELECT * FROM products WHERE sku = 'globe'", where=lambda r: r["unit_price_minor"] == 600)
    place(shop, "price-1", lines=line("globe", price=500))
    assert "costs 600 EUR" in saga(shop, "price-1", "done")["reason"]
    place(shop, "price-2", lines=line("globe", price=600))
    saga(shop, "price-2", "to be shipped")


def test_products_delisting(shop: LiveMesh) -> None:
    listed(shop, "pipe")
    send(shop, "products.DelistProduct", "pipe")
    row(shop, "SELECT * FROM products WHERE sku = 'pipe'", where=lambda r: not r["listed"])
    place(shop, "delist-1", lines=line("pipe"))
    assert saga(shop, "delist-1", "done")["code"] == "stock"


def test_products_inventory(shop: LiveMesh) -> None:
    listed(shop, "lamp", stock=5)
    send(shop, "products.AdjustStock", "lamp", delta=-2, reason="breakage")
    assert row(shop, "SELECT * FROM stock WHERE sku = 'lamp'", where=lambda r: r["on_hand"] == 3)
    assert answer(shop, "products.AdjustStock", "lamp", delta=-4, reason="breakage")["code"] == "not_enough"


def test_products_stock_is_sold_once(shop: LiveMesh) -> None:
    listed(shop, "relic", stock=2)
    shop.send(*(order(f"relic-{i}", lines=line("relic")) for i in range(5)))
    outcomes = [saga(shop, f"relic-{i}")["outcome"] for i in range(5)]
    assert sorted(outcomes) == ["cancelled"] * 3 + ["confirmed"] * 2
    for i, outcome in enumerate(outcomes):
        if outcome == "confirmed":
            send(shop, "orders.ShipOrder", f"relic-{i}")
    row(shop, "SELECT * FROM stock WHERE sku = 'relic'", where=lambda r: (r["on_hand"], r["shipped"]) == (0, 2))


def test_products_search_by_words_and_attributes(shop: LiveMesh) -> None:
    for sku, colour in (("jug-1", "blue"), ("jug-2", "green")):
        about = {"description": "Earthenware jugs for milk", "attributes": [{"name": "colour", "value": colour}]}
        listed(shop, sku, **about)
    both = shop.query("SELECT sku FROM search_products('jug milk') ORDER BY 1")
    assert [r["sku"] for r in both] == ["jug-1", "jug-2"]
    blue = shop.query("SELECT sku FROM search_products('earthenware', '{\"colour\": \"blue\"}')")
    assert [r["sku"] for r in blue] == ["jug-1"]


# -- orders


def test_orders_placing_and_status(shop: LiveMesh) -> None:
    paid_order(shop, "status-1")
    send(shop, "orders.ShipOrder", "status-1", tracking="T-1")
    saga(shop, "status-1", "to be delivered")
    send(shop, "orders.DeliverOrder", "status-1")
    assert saga(shop, "status-1", "done")["outcome"] == "delivered"
    assert row(shop, "SELECT * FROM orders WHERE order_id = 'status-1'")["tracking"] == "T-1"


def test_orders_cancellation_until_shipped(shop: LiveMesh) -> None:
    paid_order(shop, "cancel-1")
    send(shop, "orders.CancelOrder", "cancel-1", reason="changed my mind")
    done = saga(shop, "cancel-1", "done")
    assert (done["outcome"], done["captured_minor"], done["refunded_minor"]) == ("cancelled", 1380, 1380)
    paid_order(shop, "cancel-2")
    send(shop, "orders.ShipOrder", "cancel-2")
    saga(shop, "cancel-2", "to be delivered")
    assert answer(shop, "orders.CancelOrder", "cancel-2", reason="too late")["code"] == "already_shipped"


def test_orders_history(shop: LiveMesh) -> None:
    registered(shop, "mary")
    for number in (1, 2):
        paid_order(shop, f"history-{number}", customer_id="mary")
    mine = shop.query("SELECT order_id FROM orders WHERE customer_id = 'mary' ORDER BY placed_at")
    assert [r["order_id"] for r in mine] == ["history-1", "history-2"]
    until(lambda: len(history(shop, "history-1")) == 5, PATIENCE, "five events")
    assert history(shop, "history-1")[0] == "OrderPlaced"
    assert history(shop, "history-1")[-2:] == ["OrderConfirmed", "OrderPaid"]


def history(live: LiveMesh, order_id: str) -> list[str]:
    rows = live.query("SELECT event FROM order_history WHERE order_id = $1 ORDER BY at, event_id", order_id)
    return [r["event"] for r in rows]


def test_orders_expiry(shop: LiveMesh) -> None:
    place(shop, "expiry-1", card="card_stuck", patience_s=2)
    done = saga(shop, "expiry-1", "done")
    assert (done["outcome"], done["code"]) == ("cancelled", "expired")
    assert 2 <= (done["cancelled_at"] - done["placed_at"]).total_seconds() < 3
    assert payment(shop, "expiry-1")["status"] == "voided"


# -- payments


def test_payments_capture_and_status(shop: LiveMesh) -> None:
    paid_order(shop, "pay-1")
    assert payment(shop, "pay-1", "captured")["captured_minor"] == 1380


def test_payments_a_capture_that_fails_cancels_the_order(shop: LiveMesh) -> None:
    place(shop, "pay-2", card="card_lapses")
    done = saga(shop, "pay-2", "done")
    assert (done["outcome"], done["code"]) == ("cancelled", "payment")
    payment(shop, "pay-2", "not captured")


def test_payments_refund_in_part_and_in_full(shop: LiveMesh) -> None:
    paid_order(shop, "pay-3")
    send(shop, "payments.RefundPayment", "pay-3", refund_id="r1", amount_minor=380)
    assert payment(shop, "pay-3", "partly refunded")["refunded_minor"] == 380
    send(shop, "payments.RefundPayment", "pay-3", refund_id="r2")
    assert payment(shop, "pay-3", "refunded")["refunded_minor"] == 1380
    assert told(shop, "pay-3", "refunded")["status"] == "sent"


def test_payments_refunds_never_exceed_what_was_captured(shop: LiveMesh) -> None:
    paid_order(shop, "pay-4")
    assert answer(shop, "payments.RefundPayment", "pay-4", refund_id="r1", amount_minor=1381)["code"] == "too_much"


def test_payments_webhooks_come_late_twice_and_out_of_order(shop: LiveMesh) -> None:
    paid_order(shop, "hook-1")
    settings = shop.settings.having(stripe_webhook_secret=SECRET)

    async def post(kind: str, headers: dict[str, str] | None = None) -> int:
        body = event(kind, metadata={"order_id": "hook-1"}).replace(b"evt_1", kind.encode())
        async with (
            webhooks.serving(settings, shop.mesh, "127.0.0.1", 0) as served,
            aiohttp.ClientSession() as http,
            http.post(f"{served}/webhooks/payments", data=body, headers=headers or signed(body)) as response,
        ):
            return response.status

    captured, authorised = "payment_intent.succeeded", "payment_intent.amount_capturable_updated"
    assert [asyncio.run(post(kind)) for kind in (captured, captured, authorised)] == [200, 200, 200]
    assert asyncio.run(post(captured, headers={"Stripe-Signature": "t=1,v1=00"})) == 400
    for kind in (captured, authorised):
        answer = receipt(shop, f"stripe/{kind}")
        assert (answer["status"], answer["code"]) == ("refused", "nothing_to_do")
    assert payment(shop, "hook-1", "captured")["captured_minor"] == 1380


# -- notifications


def test_notifications_by_email(shop: LiveMesh) -> None:
    paid_order(shop, "mail-1")
    assert (told(shop, "mail-1", "confirmed")["channel"], told(shop, "mail-1", "confirmed")["status"]) == (
        "email",
        "sent",
    )


def by(live: LiveMesh, name: str, kind: str, address: str) -> str:
    registered(live, name)
    send(live, "users.ChangeContactChannels", name, channels=[{"kind": kind, "address": address}])
    user(live, name, where=lambda r: r["channels"] == kind)
    return name


def test_notifications_by_sms(shop: LiveMesh) -> None:
    paid_order(shop, "sms-0", customer_id=by(shop, "sally", "sms", "+491522222222"))
    send(shop, "orders.CancelOrder", "sms-0", reason="x")
    sent = told(shop, "sms-0", "cancelled")
    assert (sent["channel"], sent["status"]) == ("sms", "sent")
    (arrived,) = (m for m in messages(shop) if m["message_id"] == sent["message_id"])
    assert (arrived["to"], "sms-0 is cancelled" in arrived["text"]) == ("+491522222222", True)


def test_notifications_a_number_that_is_none_fails_for_good(shop: LiveMesh) -> None:
    place(shop, "sms-1", customer_id=by(shop, "norman", "sms", "+15005550001"))
    assert told(shop, "sms-1", "confirmed")["status"] == "failed"


def test_notifications_by_push(shop: LiveMesh) -> None:
    browser, secret = generate_private_key(SECP256R1()), b"0123456789abcdef"
    place(shop, "push-1", customer_id=by(shop, "paula", "push", subscription(shop, browser, secret, "paula")))
    sent = told(shop, "push-1", "confirmed")
    assert (sent["channel"], sent["status"]) == ("push", "sent")
    (arrived,) = (m for m in messages(shop) if m["message_id"] == sent["message_id"])
    body = urlsafe_b64decode(arrived["body"])
    shown = json.loads(http_ece.decrypt(body, private_key=browser, auth_secret=secret, version="aes128gcm"))
    assert shown["title"] == "Your order push-1 is confirmed"


def test_notifications_to_a_browser_that_unsubscribed_fail_for_good(shop: LiveMesh) -> None:
    gone = subscription(shop, generate_private_key(SECP256R1()), b"0123456789abcdef", "gone")
    place(shop, "push-2", customer_id=by(shop, "peter", "push", gone))
    assert "unsubscribed" in told(shop, "push-2", "confirmed")["reason"]


def subscription(live: LiveMesh, browser: EllipticCurvePrivateKey, secret: bytes, name: str) -> str:
    point = browser.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    keys = {"p256dh": text(point), "auth": text(secret)}
    return json.dumps({"endpoint": f"{live.settings.given('push')}/push/{name}", "keys": keys})


def text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def test_notifications_nobody_is_told_who_switched_all_off(shop: LiveMesh) -> None:
    registered(shop, "quiet")
    off = [{"kind": "email", "address": "quiet@example.org", "enabled": False}]
    send(shop, "users.ChangeContactChannels", "quiet", channels=off)
    user(shop, "quiet", where=lambda r: r["channels"] == "")
    paid_order(shop, "quiet-1", customer_id="quiet")
    assert told(shop, "quiet-1", "confirmed")["status"] == "skipped"


def test_notifications_wait_for_a_customer_nobody_knows_yet(shop: LiveMesh) -> None:
    place(shop, "early-1", customer_id="late-comer")
    row(shop, "SELECT * FROM orders WHERE order_id = 'early-1'", where=lambda r: r["status"] == "paid")
    assert not shop.query("SELECT 1 FROM notifications WHERE order_id = 'early-1'")
    registered(shop, "late-comer")
    assert told(shop, "early-1", "confirmed")["status"] == "sent"


# -- when the outside is away


def test_a_context_goes_on_deciding_while_its_gateway_is_away_and_drains_when_it_is_back(own_mesh: LiveMesh) -> None:
    live = own_mesh
    live.ready(live.worker())
    registered(live, "ada")

    async def outage() -> None:
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{live.settings.given('gateway')}/v1/outage", json={"seconds": 5}) as response,
        ):
            response.raise_for_status()

    asyncio.run(outage())
    for number in range(20):
        place(live, f"away-{number}")
    decided = "SELECT count(*) FROM payments WHERE status = 'requested'"
    until(lambda: live.query(decided)[0][0] == 20, PATIENCE, "payments decided all of them")
    from infra.ops import status

    def circuit_is_open() -> bool:
        return any(c["target"] == "gateway" and c["state"] == "opened" for c in status.circuits(live.settings))

    until(circuit_is_open, PATIENCE, "the open circuit is seen")
    rest = "SELECT count(*) FROM sagas WHERE step = 'to be shipped'"
    until(lambda: live.query(rest)[0][0] == 20, 60, "all of them drained")


def test_what_the_features_left_behind_adds_up(shop: LiveMesh) -> None:
    until_at_rest(shop, len(shop.query("SELECT 1 FROM orders")))
    evidence, wrong = audit(shop)
    assert wrong == []
    assert evidence.facts


def test_an_analyst_may_search_and_not_see_who(shop: LiveMesh) -> None:
    for hidden in ("vault.keys", "identity.credentials", "users.users"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            shop.query(f"SELECT * FROM {hidden}")
