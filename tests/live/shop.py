"""The shop as live tests use it: what customers ask of it, and the rows that tell what became of that."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

from infra.edge.client import Posted, Wish
from infra.shop import audit as auditing
from infra.shop import demo
from infra.shop.demo.wishes import CUSTOMERS, PRODUCTS
from infra.shop.laws import Evidence
from infra.shop.mesh import mesh
from tests.live.harness import LiveMesh, live_mesh, until

PATIENCE = 40  # seconds until a row is there
TEA_FOR_ADA = {
    "customer_id": "ada",
    "card": "card_ok",
    "currency": "EUR",
    "lines": [{"sku": "tea", "quantity": 2, "unit_price_minor": 690}],
}


def live_shop(backend: str) -> AbstractContextManager[LiveMesh]:
    """Services of a shop that is empty."""
    return live_mesh(mesh, backend)


def set_up(live: LiveMesh) -> None:
    """Post what makes a shop: products, their stock for thousands of orders, customers."""
    asyncio.run(demo.set_up(live.settings, live.mesh, seed=1, orders=2000))


def until_set_up(live: LiveMesh) -> None:
    """Wait until what was set up is for sale, and the customers registered."""
    until(lambda: live.query(demo.SET_UP, CUSTOMERS, len(PRODUCTS))[0][0], 60, "the shop is set up")


# -- what is asked


def order(order_id: str, **changes: Any) -> Wish:
    """Tea for ada, or what `changes` make of it."""
    return Wish("orders.PlaceOrder", order_id, TEA_FOR_ADA | changes, f"place-{order_id}")


def cancellation(order_id: str, reason: str) -> Wish:
    return Wish("orders.CancelOrder", order_id, {"reason": reason}, f"cancel-{order_id}")


def send(live: LiveMesh, type_name: str, key: str, **payload: Any) -> Posted:
    (posted,) = live.send(Wish(type_name, key, payload))
    return posted


def answer(live: LiveMesh, type_name: str, key: str, **payload: Any) -> dict[str, Any]:
    """The receipt of a command that is sent."""
    return receipt(live, send(live, type_name, key, **payload).id)


def place(live: LiveMesh, order_id: str, **changes: Any) -> None:
    live.send(order(order_id, **changes))


def paid_order(live: LiveMesh, order_id: str, **changes: Any) -> None:
    """An order that waits for the warehouse."""
    place(live, order_id, **changes)
    saga(live, order_id, "to be shipped")


def register(live: LiveMesh, name: str) -> None:
    about = {"email": f"{name}@example.org", "name": name.capitalize()}
    live.send(Wish("users.RegisterUser", name, about, f"register-{name}"))


def registered(live: LiveMesh, name: str) -> str:
    """A user who is known by now."""
    register(live, name)
    user(live, name)
    return name


def cancel_in_bytes(live: LiveMesh, order_id: str, command_id: str, value: bytes) -> None:
    """A cancellation by a client that is not ours, which may be junk."""
    live.produce("orders.commands", value, order_id.encode(), ce_type=b"orders.CancelOrder", ce_id=command_id.encode())


# -- what became of it


def row(live: LiveMesh, sql: str, *values: Any, where: Callable[[Any], bool] = lambda row: True) -> dict[str, Any]:
    """The first row that is there, and as it should be."""

    def rows() -> list[dict[str, Any]]:
        return [dict(r) for r in live.query(sql, *values) if where(r)]

    return until(rows, PATIENCE, lambda: f"{sql} {values}\n{live.last_words()}")[0]


def _in_status(status: str | None) -> Callable[[Any], bool]:
    return lambda row: status is None or row["status"] == status


def receipt(live: LiveMesh, command_id: str, status: str | None = None) -> dict[str, Any]:
    return row(live, "SELECT * FROM receipts WHERE command_id = $1", command_id, where=_in_status(status))


def payment(live: LiveMesh, order_id: str, status: str | None = None) -> dict[str, Any]:
    return row(live, "SELECT * FROM payments WHERE order_id = $1", order_id, where=_in_status(status))


def user(
    live: LiveMesh, name: str, where: Callable[[Any], bool] = lambda row: row["status"] == "active"
) -> dict[str, Any]:
    return row(live, "SELECT * FROM users WHERE user_id = $1", name, where=where)


def saga(live: LiveMesh, order_id: str, step: str | None = None) -> dict[str, Any]:
    """The saga of an order when it is at a step; at none in particular, when nothing moves before somebody acts."""

    def there(row: Any) -> bool:
        return bool(row["at_rest"] if step is None else row["step"] == step)

    return row(live, "SELECT * FROM sagas WHERE order_id = $1", order_id, where=there)


def told(live: LiveMesh, order_id: str, occasion: str) -> dict[str, Any]:
    """What became of telling the customer."""
    about = "SELECT * FROM notifications WHERE order_id = $1 AND occasion = $2"
    return row(live, about, order_id, occasion, where=lambda r: r["status"] != "requested")


# -- whether it all adds up


def until_at_rest(live: LiveMesh, orders: int, patience: float = 90) -> None:
    """Wait until so many orders wait for nothing but a warehouse, and nothing moves any more."""

    def still() -> bool:
        try:
            before = _progress(live)
            if before[0] < orders:
                return False
            time.sleep(1.5)
            return _progress(live) == before
        except Exception:  # Postgres may be down for a while
            return False

    until(still, patience, lambda: f"{orders} orders at rest; {_where(live)}")


def _progress(live: LiveMesh) -> tuple[int, int]:
    """How many orders are at rest, and how many commands were decided."""
    orders, receipts = "SELECT count(*) FROM sagas WHERE at_rest", "SELECT count(*) FROM receipts"
    ((rested, decided),) = live.query(f"SELECT ({orders}), ({receipts})")
    return rested, decided


def _where(live: LiveMesh) -> str:
    """Where the sagas are, and what the processes said."""
    steps = "no answer from Postgres"
    with suppress(Exception):
        steps = str([tuple(r) for r in live.query("SELECT step, count(*) FROM sagas GROUP BY 1")])
    return f"{steps}\n{live.last_words()}"


def audit(live: LiveMesh) -> tuple[Evidence, Sequence[str]]:
    """What happened, and what is wrong about it."""
    return asyncio.run(auditing.audit(live.settings, live.mesh))
