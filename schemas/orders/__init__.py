"""What happens to an order."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class OrderLine:
    sku: str
    quantity: int
    unit_price_minor: int


@dataclass(frozen=True, kw_only=True)
class OrderPlaced:
    order_id: str
    customer_id: str
    email: str
    card: str
    currency: str
    total_minor: int
    lines: tuple[OrderLine, ...]


@dataclass(frozen=True, kw_only=True)
class OrderConfirmed:
    order_id: str
    customer_id: str
    email: str
    currency: str
    total_minor: int


@dataclass(frozen=True, kw_only=True)
class OrderCancelled:
    order_id: str
    customer_id: str
    email: str
    currency: str
    total_minor: int
    reason: str


OrderEvent = OrderPlaced | OrderConfirmed | OrderCancelled
