"""How a notification decides. Pure: no clock, no randomness, no IO."""

from collections.abc import Iterator
from dataclasses import dataclass

from commands.notifications import NotificationCommand, RecordDelivery, RequestNotification
from schemas import Refused
from schemas.notifications import NotificationEvent, NotificationFailed, NotificationRequested, NotificationSent

CHANNELS = ("email",)


@dataclass(frozen=True)
class Unasked: ...


@dataclass(frozen=True)
class Due:
    order_id: str
    channel: str
    recipient: str
    subject: str
    body: str


@dataclass(frozen=True)
class Done: ...


Notification = Unasked | Due | Done


@dataclass(frozen=True)
class Deliver:
    notification_id: str
    channel: str
    recipient: str
    subject: str
    body: str


initial: Notification = Unasked()


def decide(command: NotificationCommand, notification: Notification) -> Iterator[NotificationEvent | Refused]:
    """Yield what happens; a repeated or late command matches nothing."""
    match command, notification:
        case RequestNotification(), Unasked() if command.channel not in CHANNELS:
            yield Refused(code="unknown_channel", reason=f"{command.channel!r} is none of {', '.join(CHANNELS)}")
        case RequestNotification(), Unasked():
            yield NotificationRequested(
                notification_id=command.notification_id,
                order_id=command.order_id,
                channel=command.channel,
                recipient=command.recipient,
                subject=command.subject,
                body=command.body,
            )
        case RecordDelivery(), Unasked():
            yield Refused(code="unknown_notification", reason=f"there is no notification {command.notification_id}")
        case RecordDelivery(ok=True), Due(order_id):
            yield NotificationSent(
                notification_id=command.notification_id, order_id=order_id, message_id=command.message_id
            )
        case RecordDelivery(ok=False), Due(order_id):
            yield NotificationFailed(notification_id=command.notification_id, order_id=order_id, reason=command.reason)


def evolve(notification: Notification, event: NotificationEvent) -> Notification:
    match event:
        case NotificationRequested():
            return Due(event.order_id, event.channel, event.recipient, event.subject, event.body)
        case NotificationSent() | NotificationFailed():
            return Done()


def pending(notification_id: str, notification: Notification) -> Deliver | None:
    """What still has to be delivered."""
    match notification:
        case Due():
            return Deliver(
                notification_id, notification.channel, notification.recipient, notification.subject, notification.body
            )
        case _:
            return None
