"""The shop as live tests use it: what customers ask of it, and the rows that tell what became of that."""

from collections.abc import Callable
from typing import Any

from infra.edge.client import Posted, Wish
from tests.live.harness import LiveMesh, until

PATIENCE = 40  # seconds until a row is there
TEA_FOR_ADA = {
    "customer_id": "ada",
    "card": "card_ok",
    "currency": "EUR",
    "lines": [{"sku": "tea", "quantity": 2, "unit_price_minor": 690}],
}


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

    def found() -> list[dict[str, Any]]:
        return [dict(r) for r in live.query(sql, *values) if where(r)]

    return until(found, PATIENCE, f"{sql} {values}")[0]


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
