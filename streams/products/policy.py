"""What products makes of orders, and stock of products. Pure."""

from collections.abc import Iterator

from commands.products import OfferStock, Own, ReleaseStock, ReserveStock, ShipStock, WithdrawStock
from schemas.orders import OrderCancelled, OrderPlaced, OrderShipped
from schemas.products import PriceChanged, ProductDelisted, ProductListed


def react(
    event: OrderPlaced | OrderCancelled | OrderShipped | ProductListed | PriceChanged | ProductDelisted,
) -> Iterator[Own]:
    match event:
        case OrderPlaced():
            for line in event.lines:
                yield ReserveStock(
                    sku=line.sku,
                    order_id=event.order_id,
                    quantity=line.quantity,
                    unit_price_minor=line.unit_price_minor,
                    currency=event.currency,
                )
        case OrderCancelled():  # compensation is a reaction like any other
            for line in event.lines:
                yield ReleaseStock(sku=line.sku, order_id=event.order_id)
        case OrderShipped():
            for line in event.lines:
                yield ShipStock(sku=line.sku, order_id=event.order_id)
        case ProductListed() | PriceChanged():
            yield OfferStock(sku=event.sku, unit_price_minor=event.unit_price_minor, currency=event.currency)
        case ProductDelisted():
            yield WithdrawStock(sku=event.sku)
