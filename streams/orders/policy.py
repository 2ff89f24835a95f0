"""What orders makes of other contexts' news. Pure."""

from collections.abc import Iterator

from commands.orders import Own, RecordPayment, RecordStock
from schemas.payments import CaptureFailed, PaymentAuthorised, PaymentCaptured, PaymentDeclined
from schemas.products import StockRefused, StockReserved


def react(
    event: StockReserved | StockRefused | PaymentAuthorised | PaymentDeclined | PaymentCaptured | CaptureFailed,
) -> Iterator[Own]:
    match event:
        case StockReserved():
            yield RecordStock(order_id=event.order_id, sku=event.sku, reserved=True, reason="")
        case StockRefused():
            yield RecordStock(order_id=event.order_id, sku=event.sku, reserved=False, reason=event.reason)
        case PaymentAuthorised():
            yield RecordPayment(order_id=event.order_id, outcome="authorised", reason="")
        case PaymentDeclined():
            yield RecordPayment(order_id=event.order_id, outcome="declined", reason=event.reason)
        case PaymentCaptured():
            yield RecordPayment(order_id=event.order_id, outcome="captured", reason="")
        case CaptureFailed():
            yield RecordPayment(order_id=event.order_id, outcome="not_captured", reason=event.reason)
