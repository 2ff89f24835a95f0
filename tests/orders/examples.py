from commands.orders import CancelOrder, DeliverOrder, ExpireOrder, PlaceOrder, RecordPayment, RecordStock, ShipOrder
from schemas.orders import (
    LineReserved,
    OrderAuthorised,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderLine,
    OrderPaid,
    OrderPlaced,
    OrderShipped,
)

ORDER = "order-1"
CUSTOMER = "customer-1"
LINES = (
    OrderLine(sku="tea", quantity=2, unit_price_minor=690),
    OrderLine(sku="mug", quantity=1, unit_price_minor=1250),
)
SUM = {"customer_id": CUSTOMER, "currency": "EUR", "total_minor": 2630}

place = PlaceOrder(order_id=ORDER, customer_id=CUSTOMER, card="card_ok", currency="EUR", lines=LINES)
cancel = CancelOrder(order_id=ORDER, reason="changed my mind")
ship = ShipOrder(order_id=ORDER, tracking="T1")
deliver = DeliverOrder(order_id=ORDER)
expire = ExpireOrder(order_id=ORDER)
record_tea = RecordStock(order_id=ORDER, sku="tea", reserved=True, reason="")
record_authorised = RecordPayment(order_id=ORDER, outcome="authorised", reason="")
placed = OrderPlaced(order_id=ORDER, **SUM, card="card_ok", patience_s=900, lines=LINES)
tea, mug = LineReserved(order_id=ORDER, sku="tea"), LineReserved(order_id=ORDER, sku="mug")
authorised = OrderAuthorised(order_id=ORDER)
confirmed = OrderConfirmed(order_id=ORDER, **SUM)
paid = OrderPaid(order_id=ORDER)
shipped = OrderShipped(order_id=ORDER, customer_id=CUSTOMER, tracking="T1", lines=LINES)
delivered = OrderDelivered(order_id=ORDER, customer_id=CUSTOMER)

ready = (placed, tea, mug, authorised, confirmed)


def cancelled(code: str, reason: str) -> OrderCancelled:
    return OrderCancelled(order_id=ORDER, **SUM, code=code, reason=reason, lines=LINES)
