from commands.products import (
    AdjustStock,
    ChangePrice,
    DelistProduct,
    ListProduct,
    OfferStock,
    ReleaseStock,
    ReserveStock,
    ShipStock,
    WithdrawStock,
)
from schemas.products import (
    Attribute,
    PriceChanged,
    ProductDelisted,
    ProductListed,
    StockAdjusted,
    StockOffered,
    StockReleased,
    StockReserved,
    StockShipped,
    StockWithdrawn,
)

ABOUT = {
    "sku": "mug",
    "name": "Mug",
    "description": "A blue mug",
    "attributes": (Attribute(name="colour", value="blue"),),
    "unit_price_minor": 1250,
    "currency": "EUR",
}
PRICE = {"unit_price_minor": 690, "currency": "EUR"}
HELD = {"sku": "tea", "order_id": "o", "quantity": 3}

list_ = ListProduct(**ABOUT)
raise_price = ChangePrice(sku="mug", unit_price_minor=1300)
delist = DelistProduct(sku="mug")
listed = ProductListed(**ABOUT)
dearer = PriceChanged(sku="mug", unit_price_minor=1300, currency="EUR")
delisted = ProductDelisted(sku="mug")

offer, withdraw = OfferStock(sku="tea", **PRICE), WithdrawStock(sku="tea")
add_five = AdjustStock(sku="tea", delta=5, reason="delivery")
reserve = ReserveStock(**HELD, **PRICE)
release, ship = ReleaseStock(sku="tea", order_id="o"), ShipStock(sku="tea", order_id="o")
offered, withdrawn = StockOffered(sku="tea", **PRICE), StockWithdrawn(sku="tea")
five = StockAdjusted(sku="tea", delta=5, on_hand=5, reason="delivery")
reserved, released, shipped = StockReserved(**HELD), StockReleased(**HELD), StockShipped(**HELD)
