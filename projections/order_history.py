"""What happened to each order, step by step: one row an event."""

from dataclasses import dataclass
from datetime import datetime

from infra import Meta
from schemas.orders import (
    LineReserved,
    OrderAuthorised,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderEvent,
    OrderPaid,
    OrderPlaced,
    OrderShipped,
)


@dataclass(frozen=True, kw_only=True)
class HistoryRow:
    event_id: str
    order_id: str
    event: str
    detail: str
    command_id: str
    at: datetime


def row_id(event: OrderEvent, meta: Meta) -> str:
    return meta.id


def project(row: HistoryRow | None, event: OrderEvent, meta: Meta) -> HistoryRow | None:
    return HistoryRow(
        event_id=meta.id,
        order_id=event.order_id,
        event=type(event).__name__,
        detail=_detail(event),
        command_id=meta.command_id,
        at=meta.at,
    )


def _detail(event: OrderEvent) -> str:
    match event:
        case OrderPlaced():
            return ", ".join(f"{line.quantity} {line.sku}" for line in event.lines)
        case LineReserved():
            return event.sku
        case OrderCancelled():
            return f"{event.code}: {event.reason}"
        case OrderShipped():
            return event.tracking
        case OrderAuthorised() | OrderConfirmed() | OrderPaid() | OrderDelivered():
            return ""
