"""Where each order stands on its way through all contexts, and when each step was taken.

Events of different topics come in any order, so every event sets columns of its own and none reads another's.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from schemas import Meta
from schemas.notifications import NotificationFailed, NotificationRequested, NotificationSent
from schemas.orders import OrderCancelled, OrderConfirmed, OrderPlaced
from schemas.payments import (
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    PaymentVoided,
    VoidRequested,
)

Heard = (
    OrderPlaced
    | OrderConfirmed
    | OrderCancelled
    | PaymentRequested
    | PaymentAuthorised
    | PaymentDeclined
    | PaymentCaptured
    | VoidRequested
    | PaymentVoided
    | NotificationRequested
    | NotificationSent
    | NotificationFailed
)


@dataclass(frozen=True, kw_only=True)
class Saga:
    order_id: str
    reason: str | None = None
    total_minor: int | None = None
    currency: str | None = None
    placed_at: datetime | None = None
    payment_requested_at: datetime | None = None
    authorised_at: datetime | None = None
    declined_at: datetime | None = None
    confirmed_at: datetime | None = None
    cancelled_at: datetime | None = None
    captured_at: datetime | None = None
    void_requested_at: datetime | None = None
    voided_at: datetime | None = None
    notification_requested_at: datetime | None = None
    notified_at: datetime | None = None
    notification_failed_at: datetime | None = None


def row_id(event: Heard, meta: Meta) -> str:
    return event.order_id


def project(row: Saga | None, event: Heard, meta: Meta) -> Saga:
    saga = row or Saga(order_id=event.order_id)
    match event:
        case OrderPlaced():
            return replace(saga, placed_at=meta.at, total_minor=event.total_minor, currency=event.currency)
        case OrderConfirmed():
            return replace(saga, confirmed_at=meta.at)
        case OrderCancelled():
            return replace(saga, cancelled_at=meta.at, reason=event.reason)
        case PaymentRequested():
            return replace(saga, payment_requested_at=meta.at)
        case PaymentAuthorised():
            return replace(saga, authorised_at=meta.at)
        case PaymentDeclined():
            return replace(saga, declined_at=meta.at)
        case PaymentCaptured():
            return replace(saga, captured_at=meta.at)
        case VoidRequested():
            return replace(saga, void_requested_at=meta.at)
        case PaymentVoided():
            return replace(saga, voided_at=meta.at)
        case NotificationRequested():
            return replace(saga, notification_requested_at=meta.at)
        case NotificationSent():
            return replace(saga, notified_at=meta.at)
        case NotificationFailed():
            return replace(saga, notification_failed_at=meta.at)
