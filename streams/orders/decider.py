"""How an order decides. Pure: no clock, no randomness, no IO."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from commands.orders import CancelOrder, OrderCommand, PlaceOrder, RecordPayment
from schemas import Refused
from schemas.orders import OrderCancelled, OrderConfirmed, OrderEvent, OrderPlaced

MAX_LINES = 100
MAX_TOTAL_MINOR = 10**12
CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True)
class Unplaced: ...


@dataclass(frozen=True)
class Placed:
    customer_id: str
    email: str
    currency: str
    total_minor: int


@dataclass(frozen=True)
class Confirmed: ...


@dataclass(frozen=True)
class Cancelled: ...


Order = Unplaced | Placed | Confirmed | Cancelled

initial: Order = Unplaced()


def decide(command: OrderCommand, order: Order) -> Iterator[OrderEvent | Refused]:
    """Yield what happens; a repeated or late command matches nothing."""
    match command, order:
        case PlaceOrder(), Unplaced():
            yield _place(command)
        case PlaceOrder(), _:
            yield Refused(
                code="already_placed", reason=f"order {command.order_id} was placed before; choose another id"
            )
        case _, Unplaced():
            yield Refused(code="unknown_order", reason=f"there is no order {command.order_id}; place it first")
        case CancelOrder(), Placed():
            yield _cancel(command.order_id, order, command.reason)
        case CancelOrder(), Confirmed():
            yield Refused(
                code="already_confirmed",
                reason=f"order {command.order_id} is confirmed and paid; it can no longer be cancelled",
            )
        case RecordPayment(authorised=True), Placed():
            yield OrderConfirmed(
                order_id=command.order_id,
                customer_id=order.customer_id,
                email=order.email,
                currency=order.currency,
                total_minor=order.total_minor,
            )
        case RecordPayment(authorised=False), Placed():
            yield _cancel(command.order_id, order, f"payment declined: {command.reason}")


def _place(command: PlaceOrder) -> OrderPlaced | Refused:
    if not 0 < len(command.lines) <= MAX_LINES:
        return Refused(code="bad_lines", reason=f"an order has 1 to {MAX_LINES} lines, this one {len(command.lines)}")
    total = 0
    for line in command.lines:
        if line.quantity <= 0 or line.unit_price_minor < 0:
            return Refused(code="bad_lines", reason=f"{line.sku!r}: a quantity is at least 1 and a price at least 0")
        total += line.quantity * line.unit_price_minor
    if total > MAX_TOTAL_MINOR:
        return Refused(code="too_much", reason=f"the total of {total} is over {MAX_TOTAL_MINOR} minor units")
    if not CURRENCY.fullmatch(command.currency):
        return Refused(code="bad_currency", reason=f"{command.currency!r} is not a currency code such as EUR")
    local, at, domain = command.email.partition("@")
    if not (local and at and domain) or "\n" in command.email or "\r" in command.email:
        return Refused(code="bad_email", reason="the e-mail address has to look like name@example.org")
    return OrderPlaced(
        order_id=command.order_id,
        customer_id=command.customer_id,
        email=command.email,
        card=command.card,
        currency=command.currency,
        total_minor=total,
        lines=command.lines,
    )


def _cancel(order_id: str, order: Placed, reason: str) -> OrderCancelled:
    return OrderCancelled(
        order_id=order_id,
        customer_id=order.customer_id,
        email=order.email,
        currency=order.currency,
        total_minor=order.total_minor,
        reason=reason,
    )


def evolve(order: Order, event: OrderEvent) -> Order:
    match event:
        case OrderPlaced():
            return Placed(event.customer_id, event.email, event.currency, event.total_minor)
        case OrderConfirmed():
            return Confirmed()
        case OrderCancelled():
            return Cancelled()
