from commands.orders import PlaceOrder
from schemas.orders import OrderCancelled, OrderConfirmed, OrderLine, OrderPlaced

ORDER = "order-1"
CUSTOMER = {"customer_id": "customer-1", "email": "ada@example.org"}

place = PlaceOrder(
    order_id=ORDER,
    **CUSTOMER,
    card="card_ok",
    currency="EUR",
    lines=(
        OrderLine(sku="tea", quantity=2, unit_price_minor=690),
        OrderLine(sku="mug", quantity=1, unit_price_minor=1250),
    ),
)
placed = OrderPlaced(
    order_id=ORDER,
    **CUSTOMER,
    card="card_ok",
    currency="EUR",
    total_minor=2630,
    lines=(
        OrderLine(sku="tea", quantity=2, unit_price_minor=690),
        OrderLine(sku="mug", quantity=1, unit_price_minor=1250),
    ),
)
confirmed = OrderConfirmed(order_id=ORDER, **CUSTOMER, currency="EUR", total_minor=2630)


def cancelled(reason: str) -> OrderCancelled:
    return OrderCancelled(order_id=ORDER, **CUSTOMER, currency="EUR", total_minor=2630, reason=reason)
