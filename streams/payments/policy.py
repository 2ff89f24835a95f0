"""What payments makes of other contexts' news. Pure."""

from collections.abc import Iterator

from commands.payments import AuthorisePayment, CapturePayment, Own, VoidPayment
from schemas.orders import OrderCancelled, OrderConfirmed, OrderPlaced


def react(event: OrderPlaced | OrderConfirmed | OrderCancelled) -> Iterator[Own]:
    match event:
        case OrderPlaced():
            yield AuthorisePayment(
                order_id=event.order_id,
                customer_id=event.customer_id,
                amount_minor=event.total_minor,
                currency=event.currency,
                card=event.card,
            )
        case OrderConfirmed():
            yield CapturePayment(order_id=event.order_id)
        case OrderCancelled():  # compensation is a reaction like any other
            yield VoidPayment(order_id=event.order_id)
