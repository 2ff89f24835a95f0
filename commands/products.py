"""What can be asked of a product, and of the stock of its SKU."""

from dataclasses import dataclass

from schemas.products import Attribute


@dataclass(frozen=True, kw_only=True)
class ListProduct:
    """Put it in the catalogue."""

    sku: str
    name: str
    unit_price_minor: int
    currency: str
    description: str = ""
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ChangePrice:
    """Sell it at this price."""

    sku: str
    unit_price_minor: int


@dataclass(frozen=True, kw_only=True)
class DelistProduct:
    """Do not sell it any more."""

    sku: str


@dataclass(frozen=True, kw_only=True)
class OfferStock:
    """Asked by the context's own policy: the product is listed, at this price."""

    sku: str
    unit_price_minor: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class WithdrawStock:
    """Asked by the context's own policy: the product is listed no more."""

    sku: str


@dataclass(frozen=True, kw_only=True)
class AdjustStock:
    """`delta` goods came in, or went lost if it is negative."""

    sku: str
    delta: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class ReserveStock:
    """Asked by the context's own policy, with what the customer was promised to pay for one."""

    sku: str
    order_id: str
    quantity: int
    unit_price_minor: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class ReleaseStock:
    """Asked by the context's own policy: the order was cancelled."""

    sku: str
    order_id: str


@dataclass(frozen=True, kw_only=True)
class ShipStock:
    """Asked by the context's own policy: the order is on its way."""

    sku: str
    order_id: str


ProductCommand = ListProduct | ChangePrice | DelistProduct
StockCommand = OfferStock | WithdrawStock | AdjustStock | ReserveStock | ReleaseStock | ShipStock

Asked = ProductCommand | AdjustStock
Own = OfferStock | WithdrawStock | ReserveStock | ReleaseStock | ShipStock
