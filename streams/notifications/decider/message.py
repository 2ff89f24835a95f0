"""How a message to a customer decides. Pure: no clock, no randomness, no IO."""

from collections.abc import Iterator
from dataclasses import dataclass

from commands.notifications import MessageCommand, RecordDelivery, RequestNotification
from infra import Refused
from schemas.notifications import MessageEvent, NotificationFailed, NotificationRequested, NotificationSent

CHANNELS = ("email", "sms", "push")


@dataclass(frozen=True)
class Unasked: ...


@dataclass(frozen=True)
class Wanted:
    asked: NotificationRequested


@dataclass(frozen=True)
class Done: ...


Message = Unasked | Wanted | Done


@dataclass(frozen=True)
class Deliver:
    """`recipient` is sealed for `customer_id`."""

    notification_id: str
    customer_id: str
    channel: str
    recipient: str
    subject: str
    body: str


initial: Message = Unasked()


def decide(command: MessageCommand, message: Message) -> Iterator[MessageEvent | Refused]:
    """Yield what happens; a repeated or late command matches nothing."""
    match command, message:
        case RequestNotification(), Unasked() if command.channel not in CHANNELS:
            yield Refused(code="unknown_channel", reason=f"{command.channel!r} is none of {', '.join(CHANNELS)}")
        case RequestNotification(), Unasked():
            yield NotificationRequested(**vars(command))
        case RecordDelivery(), Unasked():
            yield Refused(code="unknown_notification", reason=f"there is no notification {command.notification_id}")
        case RecordDelivery(ok=True), Wanted(request):
            yield NotificationSent(
                notification_id=command.notification_id, order_id=request.order_id, message_id=command.message_id
            )
        case RecordDelivery(ok=False), Wanted(request):
            yield NotificationFailed(
                notification_id=command.notification_id, order_id=request.order_id, reason=command.reason
            )


def evolve(message: Message, event: MessageEvent) -> Message:
    match event:
        case NotificationRequested():
            return Wanted(event)
        case NotificationSent() | NotificationFailed():
            return Done()


def pending(notification_id: str, message: Message) -> Deliver | None:
    """What still has to be delivered."""
    match message:
        case Wanted(request):
            return Deliver(
                notification_id, request.customer_id, request.channel, request.recipient, request.subject, request.body
            )
        case _:
            return None
