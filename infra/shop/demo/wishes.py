"""Who asks what in the demo: a catalogue, customers, orders of all kinds, and a warehouse. Decided by a seed alone."""

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

from infra.edge import client
from infra.edge.client import Asked, Wish
from infra.mesh import Mesh

PRODUCTS: dict[str, tuple[int, str, dict[str, str]]] = {
    "mug": (1250, "A mug for tea or coffee", {"colour": "blue", "material": "clay"}),
    "tea": (690, "Black tea, a hundred grams", {"origin": "Assam"}),
    "kettle": (4990, "A kettle that whistles", {"colour": "red", "material": "steel"}),
    "spoon": (350, "A spoon that fits the mug", {"material": "steel"}),
    "vase": (8900, "A vase, one of very few", {"colour": "blue", "material": "glass"}),
}
RARE = "vase"
CUSTOMERS = 200
CURRENCY = "EUR"
CARDS = {"card_ok": 77, "card_declined": 9, "card_flaky": 6, "card_slow": 4, "card_lapses": 3, "card_stuck": 1}
SHORT_PATIENCE_S = 3  # less than card_stuck takes


def customer_id(number: int) -> str:
    return f"customer-{number:03d}"


def catalogue(seed: int, orders: int) -> Iterator[Wish]:
    """Every product is listed; there is plenty of each, and few vases."""
    for sku, (price, description, attributes) in PRODUCTS.items():
        listing = {
            "name": sku.capitalize(),
            "unit_price_minor": price,
            "currency": CURRENCY,
            "description": description,
            "attributes": [{"name": name, "value": value} for name, value in attributes.items()],
        }
        yield Wish("products.ListProduct", sku, listing, f"list-{sku}")
        delta = max(2, orders // 50) if sku == RARE else 3 * orders + 10
        yield Wish("products.AdjustStock", sku, {"delta": delta, "reason": "delivery"}, f"delivery-{sku}-{seed}")


def customers() -> Iterator[Wish]:
    """Customers with an e-mail address; every tenth wants an SMS instead."""
    for number in range(CUSTOMERS):
        who = customer_id(number)
        about = {"email": f"{who}@example.org", "name": f"Customer {number}"}
        yield Wish("users.RegisterUser", who, about, f"register-{who}")


def preferences() -> Iterator[Wish]:
    """Who wants to be told otherwise than by e-mail; asked once they are registered."""
    for number in range(0, CUSTOMERS, 10):
        who = customer_id(number)
        channels = [{"kind": "sms", "address": f"+4915510{number:06d}", "enabled": True}]
        yield Wish("users.ChangeContactChannels", who, {"channels": channels}, f"channels-{who}")


def commands(mesh: Mesh, orders: int, seed: int) -> Iterator[Asked]:
    """PlaceOrder for every order; some cards are declined or slow, some orders cancelled at once, some sent twice."""
    dice = random.Random(seed)
    for number in range(orders):
        order_id = f"order-{seed}-{number:05d}"
        card = dice.choices(list(CARDS), list(CARDS.values()))[0]
        skus = dice.sample(sorted(set(PRODUCTS) - {RARE}), dice.randint(1, 3))
        if dice.random() < 0.06:
            skus.append(RARE)
        payload: dict[str, Any] = {
            "customer_id": customer_id(dice.randrange(CUSTOMERS)),
            "card": card,
            "currency": CURRENCY,
            "lines": [
                {"sku": sku, "quantity": 1 if sku == RARE else dice.randint(1, 3), "unit_price_minor": PRODUCTS[sku][0]}
                for sku in skus
            ],
        }
        if card == "card_stuck":
            payload["patience_s"] = SHORT_PATIENCE_S
        place = client.ask(mesh, "orders.PlaceOrder", order_id, json.dumps(payload), f"place-{order_id}")
        yield place
        if dice.random() < 0.05:
            yield place
        if dice.random() < 0.05:
            yield _cancel(mesh, order_id)


def warehouse(mesh: Mesh, saga: Mapping[str, Any]) -> Iterator[Asked]:
    """What is asked next of an order at rest: it is shipped and delivered; some change their mind, or want money back."""
    order_id: str = saga["order_id"]
    dice = random.Random(order_id)
    cancels, refunds = dice.random() < 0.04, dice.random() < 0.04
    match saga["step"]:
        case "to be shipped" if cancels:
            yield _cancel(mesh, order_id)
        case "to be shipped":
            yield _ask(mesh, "orders.ShipOrder", order_id, "ship", {"tracking": f"T{dice.randrange(10**9):09d}"})
        case "to be delivered":
            yield _ask(mesh, "orders.DeliverOrder", order_id, "deliver", {})
        case "done" if saga["outcome"] == "delivered" and refunds:
            amount = 0 if dice.random() < 0.5 else 100
            yield _ask(mesh, "payments.RefundPayment", order_id, "refund", {"refund_id": "r1", "amount_minor": amount})


def _cancel(mesh: Mesh, order_id: str) -> Asked:
    return _ask(mesh, "orders.CancelOrder", order_id, "cancel", {"reason": "the customer changed their mind"})


def _ask(mesh: Mesh, type_name: str, order_id: str, what: str, payload: dict[str, Any]) -> Asked:
    return client.ask(mesh, type_name, order_id, json.dumps(payload), f"{what}-{order_id}")
