"""What can be asked about orders."""

from dataclasses import dataclass
from datetime import datetime

from infra import Meta, changed
from schemas.orders import OrderCancelled, OrderConfirmed, OrderDelivered, OrderPaid, OrderPlaced, OrderShipped

Heard = OrderPlaced | OrderConfirmed | OrderPaid | OrderCancelled | OrderShipped | OrderDelivered


@dataclass(frozen=True, kw_only=True)
class OrderRow:
    order_id: str
    customer_id: str
    status: str
    code: str
    reason: str
    currency: str
    total_minor: int
    line_count: int
    tracking: str
    placed_at: datetime
    changed_at: datetime


def row_id(event: Heard, meta: Meta) -> str:
    return event.order_id


def project(row: OrderRow | None, event: Heard, meta: Meta) -> OrderRow | None:
    match event:
        case OrderPlaced():
            return row or OrderRow(
                order_id=event.order_id,
                customer_id=event.customer_id,
                status="placed",
                code="",
                reason="",
                currency=event.currency,
                total_minor=event.total_minor,
                line_count=len(event.lines),
                tracking="",
                placed_at=meta.at,
                changed_at=meta.at,
            )
        case OrderConfirmed():
            return row and changed(row, status="confirmed", changed_at=meta.at)
        case OrderPaid():
            return row and changed(row, status="paid", changed_at=meta.at)
        case OrderCancelled():
            return row and changed(row, status="cancelled", code=event.code, reason=event.reason, changed_at=meta.at)
        case OrderShipped():
            return row and changed(row, status="shipped", tracking=event.tracking, changed_at=meta.at)
        case OrderDelivered():
            return row and changed(row, status="delivered", changed_at=meta.at)
