"""What happens to an order."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class OrderLine:
    sku: str
    quantity: int
    unit_price_minor: int


@dataclass(frozen=True, kw_only=True)
class OrderPlaced:
    """A customer ordered this; `patience_s` is how long it may stay undecided before it expires."""

    order_id: str
    customer_id: str
    card: str
    currency: str
    total_minor: int
    patience_s: int
    lines: tuple[OrderLine, ...]


@dataclass(frozen=True, kw_only=True)
class LineReserved:
    """One of its lines is put aside for it."""

    order_id: str
    sku: str


@dataclass(frozen=True, kw_only=True)
class OrderAuthorised:
    """The money is held for it."""

    order_id: str


@dataclass(frozen=True, kw_only=True)
class OrderConfirmed:
    """Everything is reserved and the money is held: the order will be charged and sent."""

    order_id: str
    customer_id: str
    currency: str
    total_minor: int


@dataclass(frozen=True, kw_only=True)
class OrderPaid:
    """The money was taken."""

    order_id: str


@dataclass(frozen=True, kw_only=True)
class OrderCancelled:
    """`code` is customer, stock, payment or expired."""

    order_id: str
    customer_id: str
    currency: str
    total_minor: int
    code: str
    reason: str
    lines: tuple[OrderLine, ...]


@dataclass(frozen=True, kw_only=True)
class OrderShipped:
    """It left the warehouse; nobody can cancel it any more."""

    order_id: str
    customer_id: str
    tracking: str
    lines: tuple[OrderLine, ...]


@dataclass(frozen=True, kw_only=True)
class OrderDelivered:
    """It arrived."""

    order_id: str
    customer_id: str


OrderEvent = (
    OrderPlaced
    | LineReserved
    | OrderAuthorised
    | OrderConfirmed
    | OrderPaid
    | OrderCancelled
    | OrderShipped
    | OrderDelivered
)
