"""What can be asked about payments."""

from dataclasses import dataclass, replace
from datetime import datetime

from schemas import Meta
from schemas.payments import (
    CaptureRequested,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    PaymentVoided,
    VoidRequested,
)

Heard = (
    PaymentRequested
    | PaymentAuthorised
    | PaymentDeclined
    | CaptureRequested
    | PaymentCaptured
    | VoidRequested
    | PaymentVoided
)


@dataclass(frozen=True, kw_only=True)
class PaymentRow:
    order_id: str
    status: str
    reason: str
    currency: str
    amount_minor: int
    captured_minor: int
    authorisation_id: str
    requested_at: datetime
    changed_at: datetime


def row_id(event: Heard, meta: Meta) -> str:
    return event.order_id


def project(row: PaymentRow | None, event: Heard, meta: Meta) -> PaymentRow | None:
    match event, row:
        case PaymentRequested(), None:
            return PaymentRow(
                order_id=event.order_id,
                status="requested",
                reason="",
                currency=event.currency,
                amount_minor=event.amount_minor,
                captured_minor=0,
                authorisation_id="",
                requested_at=meta.at,
                changed_at=meta.at,
            )
        case PaymentAuthorised(), PaymentRow():
            return replace(row, status="authorised", authorisation_id=event.authorisation, changed_at=meta.at)
        case PaymentDeclined(), PaymentRow():
            return replace(row, status="declined", reason=event.reason, changed_at=meta.at)
        case CaptureRequested(), PaymentRow():
            return replace(row, status="capturing", changed_at=meta.at)
        case PaymentCaptured(), PaymentRow():
            return replace(row, status="captured", captured_minor=event.amount_minor, changed_at=meta.at)
        case VoidRequested(), PaymentRow():
            return replace(row, status="voiding", changed_at=meta.at)
        case PaymentVoided(), PaymentRow():
            return replace(row, status="voided", changed_at=meta.at)
    return row
