"""Who is told of what, and where they are told: from others' news and from one's own choice of a channel. Pure."""

from collections.abc import Iterator

from commands.notifications import (
    ForgetContact,
    Own,
    RecordContact,
    RequestNotification,
    TellCustomer,
)
from infra import derived_id
from schemas.notifications import Channel, ChannelChosen
from schemas.orders import OrderCancelled, OrderConfirmed, OrderDelivered, OrderShipped
from schemas.payments import PaymentRefunded
from schemas.users import ContactChannelsChanged, UserErased, UserRegistered


def react(
    event: OrderConfirmed
    | OrderCancelled
    | OrderShipped
    | OrderDelivered
    | PaymentRefunded
    | UserRegistered
    | ContactChannelsChanged
    | UserErased
    | ChannelChosen,
) -> Iterator[Own]:
    match event:
        case OrderConfirmed():
            yield _tell(event, "confirmed", amount_minor=event.total_minor, currency=event.currency)
        case OrderCancelled():
            yield _tell(event, "cancelled", detail=event.reason)
        case OrderShipped():
            yield _tell(event, "shipped", detail=event.tracking)
        case OrderDelivered():
            yield _tell(event, "delivered")
        case PaymentRefunded():
            yield _tell(event, "refunded", event.refund_id, amount_minor=event.amount_minor, currency=event.currency)
        case UserRegistered() | ContactChannelsChanged():
            channels = tuple(Channel(**vars(channel)) for channel in event.channels)
            yield RecordContact(customer_id=event.user_id, channels=channels)
        case UserErased():
            yield ForgetContact(customer_id=event.user_id)
        case ChannelChosen():
            yield RequestNotification(**vars(event))


def _tell(
    event: OrderConfirmed | OrderCancelled | OrderShipped | OrderDelivered | PaymentRefunded,
    occasion: str,
    *which: str,
    amount_minor: int = 0,
    currency: str = "",
    detail: str = "",
) -> TellCustomer:
    return TellCustomer(
        customer_id=event.customer_id,
        notification_id=derived_id(event.order_id, occasion, *which),
        order_id=event.order_id,
        occasion=occasion,
        amount_minor=amount_minor,
        currency=currency,
        detail=detail,
    )
