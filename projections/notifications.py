"""What can be asked about messages to customers."""

from dataclasses import dataclass
from datetime import datetime

from infra import Meta, changed
from schemas.notifications import NotificationFailed, NotificationRequested, NotificationSent, TellingSkipped

Heard = NotificationRequested | NotificationSent | NotificationFailed | TellingSkipped


@dataclass(frozen=True, kw_only=True)
class NotificationRow:
    notification_id: str
    order_id: str
    customer_id: str
    occasion: str
    channel: str
    status: str
    reason: str
    subject: str
    message_id: str
    requested_at: datetime
    closed_at: datetime | None


def row_id(event: Heard, meta: Meta) -> str:
    return event.notification_id


def project(row: NotificationRow | None, event: Heard, meta: Meta) -> NotificationRow | None:
    match event:
        case NotificationRequested():
            return row or NotificationRow(
                notification_id=event.notification_id,
                order_id=event.order_id,
                customer_id=event.customer_id,
                occasion=event.occasion,
                channel=event.channel,
                status="requested",
                reason="",
                subject=event.subject,
                message_id="",
                requested_at=meta.at,
                closed_at=None,
            )
        case TellingSkipped():
            return row or NotificationRow(
                notification_id=event.notification_id,
                order_id=event.order_id,
                customer_id=event.customer_id,
                occasion=event.occasion,
                channel="",
                status="skipped",
                reason=event.reason,
                subject="",
                message_id="",
                requested_at=meta.at,
                closed_at=meta.at,
            )
        case NotificationSent():
            return row and changed(row, status="sent", message_id=event.message_id, closed_at=meta.at)
        case NotificationFailed():
            return row and changed(row, status="failed", reason=event.reason, closed_at=meta.at)
