from commands.products import OfferStock, ReleaseStock, ReserveStock, ShipStock, WithdrawStock
from schemas.products import PriceChanged, ProductDelisted, ProductListed
from streams.products.policy import react
from tests.orders.examples import ORDER, cancelled, placed, shipped

OFFER = OfferStock(sku="tea", unit_price_minor=690, currency="EUR")


def test_every_line_of_an_order_is_reserved_at_its_price() -> None:
    commands = list(react(placed))
    assert [(command.sku, command.quantity, command.unit_price_minor) for command in commands] == [
        ("tea", 2, 690),
        ("mug", 1, 1250),
    ]
    assert all(isinstance(command, ReserveStock) and command.order_id == ORDER for command in commands)


def test_every_line_of_a_cancelled_order_is_released() -> None:
    assert list(react(cancelled("customer", ""))) == [ReleaseStock(sku=sku, order_id=ORDER) for sku in ("tea", "mug")]


def test_every_line_of_a_shipped_order_leaves() -> None:
    assert list(react(shipped)) == [ShipStock(sku=sku, order_id=ORDER) for sku in ("tea", "mug")]


def test_stock_is_offered_at_the_price_its_product_is_listed_at() -> None:
    listed = ProductListed(sku="tea", name="Tea", description="", attributes=(), unit_price_minor=690, currency="EUR")
    assert list(react(listed)) == [OFFER]
    assert list(react(PriceChanged(sku="tea", unit_price_minor=690, currency="EUR"))) == [OFFER]


def test_stock_of_what_is_delisted_is_withdrawn() -> None:
    assert list(react(ProductDelisted(sku="tea"))) == [WithdrawStock(sku="tea")]
