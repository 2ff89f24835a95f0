"""What can be asked about payments."""

from dataclasses import dataclass
from datetime import datetime

from infra import Meta, changed
from schemas.payments import (
    CaptureFailed,
    CaptureRequested,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentEvent,
    PaymentRefunded,
    PaymentRequested,
    PaymentVoided,
    RefundFailed,
    RefundRequested,
    VoidRequested,
)


@dataclass(frozen=True, kw_only=True)
class PaymentRow:
    order_id: str
    customer_id: str
    status: str
    reason: str
    currency: str
    amount_minor: int
    captured_minor: int
    refunded_minor: int
    authorisation_id: str
    requested_at: datetime
    changed_at: datetime


def row_id(event: PaymentEvent, meta: Meta) -> str:
    return event.order_id


def project(row: PaymentRow | None, event: PaymentEvent, meta: Meta) -> PaymentRow | None:
    match event:
        case PaymentRequested():
            return row or PaymentRow(
                order_id=event.order_id,
                customer_id=event.customer_id,
                status="requested",
                reason="",
                currency=event.currency,
                amount_minor=event.amount_minor,
                captured_minor=0,
                refunded_minor=0,
                authorisation_id="",
                requested_at=meta.at,
                changed_at=meta.at,
            )
        case PaymentAuthorised():
            return row and changed(row, status="authorised", authorisation_id=event.authorisation, changed_at=meta.at)
        case PaymentDeclined():
            return row and changed(row, status="declined", reason=event.reason, changed_at=meta.at)
        case CaptureRequested():
            return row and changed(row, status="capturing", changed_at=meta.at)
        case PaymentCaptured():
            return row and changed(row, status="captured", captured_minor=event.amount_minor, changed_at=meta.at)
        case CaptureFailed():
            return row and changed(row, status="not captured", reason=event.reason, changed_at=meta.at)
        case VoidRequested():
            return row and changed(row, status="voiding", changed_at=meta.at)
        case PaymentVoided():
            return row and changed(row, status="voided", changed_at=meta.at)
        case RefundRequested():
            return row and changed(row, status="refunding", changed_at=meta.at)
        case RefundFailed():
            return row and changed(
                row, status=_status(row.captured_minor, row.refunded_minor), reason=event.reason, changed_at=meta.at
            )
        case PaymentRefunded():
            return row and _refunded(row, row.refunded_minor + event.amount_minor, meta)


def _refunded(row: PaymentRow, refunded: int, meta: Meta) -> PaymentRow:
    return changed(row, status=_status(row.captured_minor, refunded), refunded_minor=refunded, changed_at=meta.at)


def _status(captured: int, refunded: int) -> str:
    return "captured" if not refunded else "refunded" if refunded == captured else "partly refunded"
