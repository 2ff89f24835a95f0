"""What orders makes of other contexts' news. Pure."""

from collections.abc import Iterator

from commands.orders import OrderCommand, RecordPayment
from schemas.payments import PaymentAuthorised, PaymentDeclined


def react(event: PaymentAuthorised | PaymentDeclined) -> Iterator[OrderCommand]:
    match event:
        case PaymentAuthorised():
            yield RecordPayment(order_id=event.order_id, authorised=True, reason="")
        case PaymentDeclined():
            yield RecordPayment(order_id=event.order_id, authorised=False, reason=event.reason)
