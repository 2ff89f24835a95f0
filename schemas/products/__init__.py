"""What happens to a product, and to the stock of its SKU: two kinds of aggregates, both known by the SKU."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """Something one can search by, such as colour: blue."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class ProductListed:
    """It is in the catalogue."""

    sku: str
    name: str
    description: str
    attributes: tuple[Attribute, ...]
    unit_price_minor: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class PriceChanged:
    """One of it costs this much from now on."""

    sku: str
    unit_price_minor: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class ProductDelisted:
    """It is not for sale any more."""

    sku: str


@dataclass(frozen=True, kw_only=True)
class StockOffered:
    """What is on hand may be reserved, at this price."""

    sku: str
    unit_price_minor: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class StockWithdrawn:
    """Nothing more may be reserved; what is reserved stays so."""

    sku: str


@dataclass(frozen=True, kw_only=True)
class StockAdjusted:
    """Goods came in or went lost; `on_hand` is what is there afterwards, reservations not counted."""

    sku: str
    delta: int
    on_hand: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class StockReserved:
    """So many are put aside for an order."""

    sku: str
    order_id: str
    quantity: int


@dataclass(frozen=True, kw_only=True)
class StockRefused:
    """The order cannot have it; `code` is not_offered, price or out_of_stock."""

    sku: str
    order_id: str
    quantity: int
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class StockReleased:
    """What was put aside for an order is for sale again."""

    sku: str
    order_id: str
    quantity: int


@dataclass(frozen=True, kw_only=True)
class StockShipped:
    """What was put aside for an order has left."""

    sku: str
    order_id: str
    quantity: int


ProductEvent = ProductListed | PriceChanged | ProductDelisted
StockEvent = StockOffered | StockWithdrawn | StockAdjusted | StockReserved | StockRefused | StockReleased | StockShipped
