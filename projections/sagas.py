"""Where each order stands on its way through all contexts, and when each step was taken.

Events of different topics come in any order, so what an event changes does not depend on another context's: it sets
columns of its own, or counts.
"""

from dataclasses import dataclass
from datetime import datetime

from infra import Meta, changed
from schemas.notifications import NotificationFailed, NotificationSent, TellingSkipped
from schemas.orders import OrderCancelled, OrderConfirmed, OrderDelivered, OrderPaid, OrderPlaced, OrderShipped
from schemas.payments import (
    CaptureFailed,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentRequested,
    PaymentVoided,
    RefundFailed,
    RefundRequested,
)
from schemas.products import StockRefused, StockReleased, StockReserved, StockShipped

Heard = (
    OrderPlaced
    | OrderConfirmed
    | OrderPaid
    | OrderCancelled
    | OrderShipped
    | OrderDelivered
    | StockReserved
    | StockRefused
    | StockReleased
    | StockShipped
    | PaymentRequested
    | PaymentAuthorised
    | PaymentDeclined
    | PaymentCaptured
    | CaptureFailed
    | PaymentVoided
    | RefundRequested
    | PaymentRefunded
    | RefundFailed
    | NotificationSent
    | NotificationFailed
    | TellingSkipped
)


@dataclass(frozen=True, kw_only=True)
class Saga:
    order_id: str
    customer_id: str | None = None
    code: str | None = None
    reason: str | None = None
    total_minor: int | None = None
    currency: str | None = None
    line_count: int | None = None
    reserved: int = 0
    refused: int = 0
    released: int = 0
    sent_out: int = 0
    refunds_asked: int = 0
    refunds_done: int = 0
    refunds_failed: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    told: int = 0
    placed_at: datetime | None = None
    stock_at: datetime | None = None
    payment_requested_at: datetime | None = None
    authorised_at: datetime | None = None
    declined_at: datetime | None = None
    confirmed_at: datetime | None = None
    cancelled_at: datetime | None = None
    captured_at: datetime | None = None
    capture_failed_at: datetime | None = None
    voided_at: datetime | None = None
    refunded_at: datetime | None = None
    paid_at: datetime | None = None
    shipped_at: datetime | None = None
    delivered_at: datetime | None = None
    told_at: datetime | None = None


def row_id(event: Heard, meta: Meta) -> str:
    return event.order_id


def project(row: Saga | None, event: Heard, meta: Meta) -> Saga:
    saga = row or Saga(order_id=event.order_id)
    match event:
        case OrderPlaced():
            return changed(
                saga,
                customer_id=event.customer_id,
                placed_at=meta.at,
                total_minor=event.total_minor,
                currency=event.currency,
                line_count=len(event.lines),
            )
        case OrderConfirmed():
            return changed(saga, confirmed_at=meta.at)
        case OrderPaid():
            return changed(saga, paid_at=meta.at)
        case OrderCancelled():
            return changed(saga, cancelled_at=meta.at, code=event.code, reason=event.reason)
        case OrderShipped():
            return changed(saga, shipped_at=meta.at)
        case OrderDelivered():
            return changed(saga, delivered_at=meta.at)
        case StockReserved():
            return changed(saga, reserved=saga.reserved + 1, stock_at=_latest(saga.stock_at, meta.at))
        case StockRefused():
            return changed(saga, refused=saga.refused + 1, stock_at=_latest(saga.stock_at, meta.at))
        case StockReleased():
            return changed(saga, released=saga.released + 1)
        case StockShipped():
            return changed(saga, sent_out=saga.sent_out + 1)
        case PaymentRequested():
            return changed(saga, payment_requested_at=meta.at)
        case PaymentAuthorised():
            return changed(saga, authorised_at=meta.at)
        case PaymentDeclined():
            return changed(saga, declined_at=meta.at)
        case PaymentCaptured():
            return changed(saga, captured_at=meta.at, captured_minor=event.amount_minor)
        case CaptureFailed():
            return changed(saga, capture_failed_at=meta.at)
        case PaymentVoided():
            return changed(saga, voided_at=meta.at)
        case RefundRequested():
            return changed(saga, refunds_asked=saga.refunds_asked + 1)
        case PaymentRefunded():
            refunded = saga.refunded_minor + event.amount_minor
            return changed(saga, refunds_done=saga.refunds_done + 1, refunded_minor=refunded, refunded_at=meta.at)
        case RefundFailed():
            return changed(saga, refunds_failed=saga.refunds_failed + 1)
        case NotificationSent() | NotificationFailed() | TellingSkipped():
            return changed(saga, told=saga.told + 1, told_at=_latest(saga.told_at, meta.at))


def _latest(latest: datetime | None, at: datetime) -> datetime:
    return max(latest or at, at)
