"""What can be asked about orders."""

from dataclasses import dataclass, replace
from datetime import datetime

from schemas import Meta
from schemas.orders import OrderCancelled, OrderConfirmed, OrderPlaced


@dataclass(frozen=True, kw_only=True)
class OrderRow:
    order_id: str
    customer_id: str
    status: str
    reason: str
    currency: str
    total_minor: int
    line_count: int
    placed_at: datetime
    closed_at: datetime | None


def row_id(event: OrderPlaced | OrderConfirmed | OrderCancelled, meta: Meta) -> str:
    return event.order_id


def project(row: OrderRow | None, event: OrderPlaced | OrderConfirmed | OrderCancelled, meta: Meta) -> OrderRow | None:
    match event, row:
        case OrderPlaced(), None:
            return OrderRow(
                order_id=event.order_id,
                customer_id=event.customer_id,
                status="placed",
                reason="",
                currency=event.currency,
                total_minor=event.total_minor,
                line_count=len(event.lines),
                placed_at=meta.at,
                closed_at=None,
            )
        case OrderConfirmed(), OrderRow():
            return replace(row, status="confirmed", closed_at=meta.at)
        case OrderCancelled(), OrderRow():
            return replace(row, status="cancelled", reason=event.reason, closed_at=meta.at)
    return row
