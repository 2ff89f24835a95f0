"""What can be asked of an order."""

from dataclasses import dataclass

from schemas.orders import OrderLine


@dataclass(frozen=True, kw_only=True)
class PlaceOrder:
    order_id: str
    customer_id: str
    email: str
    card: str
    currency: str
    lines: tuple[OrderLine, ...]


@dataclass(frozen=True, kw_only=True)
class CancelOrder:
    order_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RecordPayment:
    """Asked by the context's own policy: what became of the payment."""

    order_id: str
    authorised: bool
    reason: str


OrderCommand = PlaceOrder | CancelOrder | RecordPayment
