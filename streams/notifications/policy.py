"""What the customer is told of, and in which words. Pure."""

from collections.abc import Iterator
from decimal import Decimal

from commands.notifications import NotificationCommand, RequestNotification
from schemas.orders import OrderCancelled, OrderConfirmed

MINOR_DIGITS = {  # ISO 4217: the currencies whose minor unit is not a hundredth
    **dict.fromkeys(
        (
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def react(event: OrderConfirmed | OrderCancelled) -> Iterator[NotificationCommand]:
    match event:
        case OrderConfirmed():
            yield _email(event, "confirmed", f"Thank you. {_money(event)} will be charged to your card.")
        case OrderCancelled():
            yield _email(event, "cancelled", f"Nothing was charged. The reason: {event.reason}.")


def _email(event: OrderConfirmed | OrderCancelled, occasion: str, body: str) -> RequestNotification:
    return RequestNotification(
        notification_id=f"{event.order_id}/{occasion}",
        order_id=event.order_id,
        channel="email",
        recipient=event.email,
        subject=f"Your order {event.order_id} is {occasion}",
        body=body,
    )


def _money(event: OrderConfirmed) -> str:
    digits = MINOR_DIGITS.get(event.currency, 2)
    return f"{Decimal(event.total_minor).scaleb(-digits):.{digits}f} {event.currency}"
