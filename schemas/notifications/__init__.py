"""What happens to a message for a customer; one aggregate an occasion."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NotificationRequested:
    notification_id: str
    order_id: str
    channel: str
    recipient: str
    subject: str
    body: str


@dataclass(frozen=True, kw_only=True)
class NotificationSent:
    notification_id: str
    order_id: str
    message_id: str


@dataclass(frozen=True, kw_only=True)
class NotificationFailed:
    notification_id: str
    order_id: str
    reason: str


NotificationEvent = NotificationRequested | NotificationSent | NotificationFailed
