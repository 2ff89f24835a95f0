from dataclasses import replace

import pytest

from commands.products import AdjustStock
from infra.testing.given import given
from schemas.products import StockRefused, StockReserved
from streams.products.decider import stock
from tests.products.examples import (
    add_five,
    five,
    offer,
    offered,
    release,
    released,
    reserve,
    reserved,
    ship,
    shipped,
    withdraw,
    withdrawn,
)


def refused(code: str, reason: str) -> StockRefused:
    return StockRefused(sku="tea", order_id="o", quantity=3, code=code, reason=reason)


def test_goods_come_in() -> None:
    given(stock).when(add_five).then_each_time(five)


def test_no_more_can_go_lost_than_is_there() -> None:
    given(stock, five).when(AdjustStock(sku="tea", delta=-6, reason="breakage")).then_refused("not_enough")


def test_what_is_reserved_cannot_go_lost() -> None:
    given(stock, offered, five, reserved).when(AdjustStock(sku="tea", delta=-3, reason="")).then_refused("not_enough")


def test_stock_is_reserved_for_an_order() -> None:
    given(stock, offered, five).when(reserve).then(reserved)


def test_an_order_reserves_once() -> None:
    given(stock, offered, five, reserved).when(reserve).then()


def test_more_than_is_left_is_refused() -> None:
    other = replace(reserved, order_id="another")
    given(stock, offered, five, other).when(reserve).then(
        refused("out_of_stock", "tea is out of stock: 3 wanted, 2 left")
    )


def test_what_is_not_offered_is_refused() -> None:
    given(stock, five).when(reserve).then(refused("not_offered", "tea is not for sale"))


def test_what_was_withdrawn_is_refused() -> None:
    given(stock, offered, five, withdrawn).when(reserve).then(refused("not_offered", "tea is not for sale"))


def test_another_price_than_the_customer_was_promised_is_refused() -> None:
    given(stock, offered, five).when(replace(reserve, unit_price_minor=1)).then(
        refused("price", "tea costs 690 EUR (minor units) now")
    )


def test_released_stock_can_be_reserved_by_another() -> None:
    again = replace(reserve, order_id="another", quantity=5)
    given(stock, offered, five, reserved, released).when(again).then(
        StockReserved(sku="tea", order_id="another", quantity=5)
    )


@pytest.mark.parametrize(("command", "event"), [(release, released), (ship, shipped)])
def test_what_is_held_is_released_or_shipped_whole(command: object, event: object) -> None:
    given(stock, offered, five, reserved).when(command).then(event)


@pytest.mark.parametrize("command", [release, ship])
@pytest.mark.parametrize("history", [(), (reserved, released), (reserved, shipped)])
def test_what_is_not_held_is_neither_released_nor_shipped(command: object, history: tuple[object, ...]) -> None:
    given(stock, offered, five, *history).when(command).then()


def test_an_offer_is_made_and_withdrawn_once() -> None:
    given(stock).when(offer).then(offered)
    given(stock, offered).when(offer).then()
    given(stock, offered).when(withdraw).then(withdrawn)
    given(stock).when(withdraw).then()
