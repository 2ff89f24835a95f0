"""How an order decides. Pure: no clock, no randomness, no IO.

Stock and payment are asked side by side; the order hears both, and its own log says which of two racing news came first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from commands.orders import (
    CancelOrder,
    DeliverOrder,
    ExpireOrder,
    OrderCommand,
    PlaceOrder,
    RecordPayment,
    RecordStock,
    ShipOrder,
)
from infra import Due, Refused, is_id
from schemas.orders import (
    LineReserved,
    OrderAuthorised,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderEvent,
    OrderLine,
    OrderPaid,
    OrderPlaced,
    OrderShipped,
)

MAX_LINES = 100
MAX_TOTAL_MINOR = 10**12
MAX_TEXT = 500  # characters of a reason, or of what tracks a parcel: they are told the customer
MAX_PATIENCE_S = 7 * 86_400
CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True)
class Unplaced: ...


@dataclass(frozen=True)
class Placed:
    """Undecided: waiting for `missing` SKUs, and for the money unless `authorised`."""

    customer_id: str
    currency: str
    total_minor: int
    patience_s: int
    lines: tuple[OrderLine, ...]
    missing: frozenset[str]
    authorised: bool = False


@dataclass(frozen=True)
class Confirmed:
    customer_id: str
    currency: str
    total_minor: int
    lines: tuple[OrderLine, ...]
    paid: bool = False


@dataclass(frozen=True)
class Shipped:
    customer_id: str


@dataclass(frozen=True)
class Delivered: ...


@dataclass(frozen=True)
class Cancelled: ...


Order = Unplaced | Placed | Confirmed | Shipped | Delivered | Cancelled

initial: Order = Unplaced()


def decide(command: OrderCommand, order: Order) -> Iterator[OrderEvent | Refused]:
    """Yield what happens; a repeated or late command matches nothing."""
    order_id = command.order_id
    match command, order:
        case PlaceOrder(), Unplaced():
            yield _place(command)
        case CancelOrder(), _ if len(command.reason) > MAX_TEXT:
            yield Refused(code="bad_reason", reason=f"a reason has at most {MAX_TEXT} characters")
        case ShipOrder(), _ if len(command.tracking) > MAX_TEXT:
            yield Refused(code="bad_tracking", reason=f"what tracks a parcel has at most {MAX_TEXT} characters")
        case PlaceOrder(), _:
            yield Refused(code="already_placed", reason=f"order {order_id} was placed before; choose another id")
        case _, Unplaced():
            yield Refused(code="unknown_order", reason=f"there is no order {order_id}; place it first")
        case RecordStock(reserved=True), Placed() if command.sku in order.missing:
            yield LineReserved(order_id=order_id, sku=command.sku)
            if order.authorised and order.missing == {command.sku}:
                yield _confirm(order_id, order)
        case RecordStock(reserved=False), Placed():
            yield _cancel(order_id, order, "stock", command.reason)
        case RecordPayment(outcome="authorised"), Placed(authorised=False):
            yield OrderAuthorised(order_id=order_id)
            if not order.missing:
                yield _confirm(order_id, order)
        case RecordPayment(outcome="declined"), Placed():
            yield _cancel(order_id, order, "payment", f"the payment was declined: {command.reason}")
        case RecordPayment(outcome="captured"), Confirmed(paid=False):
            yield OrderPaid(order_id=order_id)
        case RecordPayment(outcome="not_captured"), Confirmed(paid=False):
            yield _cancel(order_id, order, "payment", f"the payment could not be taken: {command.reason}")
        case CancelOrder(), Placed() | Confirmed():
            yield _cancel(order_id, order, "customer", command.reason)
        case CancelOrder(), Shipped() | Delivered():
            yield Refused(
                code="already_shipped", reason=f"order {order_id} is on its way; it can no longer be cancelled"
            )
        case ExpireOrder(), Placed():
            yield _cancel(order_id, order, "expired", f"it could not be confirmed within {order.patience_s} s")
        case ShipOrder(), Confirmed(paid=True):
            yield OrderShipped(
                order_id=order_id, customer_id=order.customer_id, tracking=command.tracking, lines=order.lines
            )
        case ShipOrder(), Placed() | Confirmed():
            yield Refused(code="not_paid", reason=f"order {order_id} is not paid yet; ship it when it is")
        case ((ShipOrder() | DeliverOrder()), Cancelled()):
            yield Refused(code="cancelled", reason=f"order {order_id} was cancelled; nothing may be sent")
        case DeliverOrder(), Shipped():
            yield OrderDelivered(order_id=order_id, customer_id=order.customer_id)
        case DeliverOrder(), Placed() | Confirmed():
            yield Refused(code="not_shipped", reason=f"order {order_id} was not shipped yet")


def _place(command: PlaceOrder) -> OrderPlaced | Refused:
    if not 0 < len(command.lines) <= MAX_LINES:
        return Refused(code="bad_lines", reason=f"an order has 1 to {MAX_LINES} lines, this one {len(command.lines)}")
    total = 0
    for line in command.lines:
        if line.quantity <= 0 or line.unit_price_minor < 0 or not is_id(line.sku):
            return Refused(
                code="bad_lines",
                reason=f"{line.sku!r}: a line has a SKU, a quantity of at least 1, a price of at least 0",
            )
        total += line.quantity * line.unit_price_minor
    if len({line.sku for line in command.lines}) < len(command.lines):
        return Refused(code="bad_lines", reason="a SKU stands in two lines; add their quantities")
    if total > MAX_TOTAL_MINOR:
        return Refused(code="too_much", reason=f"the total of {total} is over {MAX_TOTAL_MINOR} minor units")
    if not CURRENCY.fullmatch(command.currency):
        return Refused(code="bad_currency", reason=f"{command.currency!r} is not a currency code such as EUR")
    if not is_id(command.customer_id):
        return Refused(code="bad_customer", reason="customer_id is not the id of a user")
    if not 0 < command.patience_s <= MAX_PATIENCE_S:
        return Refused(code="bad_patience", reason=f"patience_s is 1 to {MAX_PATIENCE_S} seconds")
    return OrderPlaced(
        order_id=command.order_id,
        customer_id=command.customer_id,
        card=command.card,
        currency=command.currency,
        total_minor=total,
        patience_s=command.patience_s,
        lines=command.lines,
    )


def _confirm(order_id: str, order: Placed) -> OrderConfirmed:
    return OrderConfirmed(
        order_id=order_id, customer_id=order.customer_id, currency=order.currency, total_minor=order.total_minor
    )


def _cancel(order_id: str, order: Placed | Confirmed, code: str, reason: str) -> OrderCancelled:
    return OrderCancelled(
        order_id=order_id,
        customer_id=order.customer_id,
        currency=order.currency,
        total_minor=order.total_minor,
        code=code,
        reason=reason,
        lines=order.lines,
    )


def evolve(order: Order, event: OrderEvent) -> Order:
    match event:
        case OrderPlaced():
            missing = frozenset([line.sku for line in event.lines])
            return Placed(event.customer_id, event.currency, event.total_minor, event.patience_s, event.lines, missing)
        case LineReserved():
            return replace(order, missing=order.missing - {event.sku}) if isinstance(order, Placed) else order
        case OrderAuthorised():
            return replace(order, authorised=True) if isinstance(order, Placed) else order
        case OrderConfirmed():
            return (
                Confirmed(order.customer_id, order.currency, order.total_minor, order.lines)
                if isinstance(order, Placed)
                else order
            )
        case OrderPaid():
            return replace(order, paid=True) if isinstance(order, Confirmed) else order
        case OrderShipped():
            return Shipped(event.customer_id)
        case OrderDelivered():
            return Delivered()
        case OrderCancelled():
            return Cancelled()


def due(order_id: str, order: Order) -> Due | None:
    """An order that cannot be confirmed in time expires."""
    match order:
        case Placed():
            return Due(order.patience_s, ExpireOrder(order_id=order_id))
        case _:
            return None
