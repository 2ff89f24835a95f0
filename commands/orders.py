"""What can be asked of an order."""

from dataclasses import dataclass

from schemas.orders import OrderLine

PATIENCE_S = 900


@dataclass(frozen=True, kw_only=True)
class PlaceOrder:
    """`patience_s`: seconds until an order that is not confirmed expires."""

    order_id: str
    customer_id: str
    card: str
    currency: str
    lines: tuple[OrderLine, ...]
    patience_s: int = PATIENCE_S


@dataclass(frozen=True, kw_only=True)
class CancelOrder:
    """The customer does not want it any more; too late once it is shipped."""

    order_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ShipOrder:
    """The warehouse has sent it, if it was paid."""

    order_id: str
    tracking: str = ""


@dataclass(frozen=True, kw_only=True)
class DeliverOrder:
    """It has arrived, if it was sent."""

    order_id: str


@dataclass(frozen=True, kw_only=True)
class RecordStock:
    """Asked by the context's own policy: whether a line could be reserved."""

    order_id: str
    sku: str
    reserved: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class RecordPayment:
    """Asked by the context's own policy: `outcome` is authorised, declined, captured or not_captured."""

    order_id: str
    outcome: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ExpireOrder:
    """Asked by the clock, once the customer's patience is over."""

    order_id: str


Asked = PlaceOrder | CancelOrder | ShipOrder | DeliverOrder
Own = RecordStock | RecordPayment | ExpireOrder
OrderCommand = Asked | Own
