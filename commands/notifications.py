"""What can be asked of a notification."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RequestNotification:
    notification_id: str
    order_id: str
    channel: str
    recipient: str
    subject: str
    body: str


@dataclass(frozen=True, kw_only=True)
class RecordDelivery:
    """Asked by the context's own effects: what the channel answered."""

    notification_id: str
    ok: bool
    message_id: str
    reason: str


NotificationCommand = RequestNotification | RecordDelivery
