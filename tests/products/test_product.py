from dataclasses import replace

import pytest

from commands.products import ChangePrice
from infra.testing.given import given
from streams.products.decider import product
from tests.products.examples import ABOUT, dearer, delist, delisted, list_, listed, raise_price


def test_a_product_is_listed() -> None:
    given(product).when(list_).then(listed)


def test_listing_the_same_again_is_no_news() -> None:
    given(product, listed).when(list_).then()


def test_a_listing_is_changed_by_listing_anew() -> None:
    given(product, listed).when(replace(list_, name="Cup")).then(replace(listed, name="Cup"))


def test_a_price_is_changed() -> None:
    given(product, listed).when(raise_price).then(dearer)


def test_a_price_that_is_the_same_is_no_news() -> None:
    given(product, listed, dearer).when(raise_price).then()


def test_a_product_is_delisted() -> None:
    given(product, listed).when(delist).then(delisted)


@pytest.mark.parametrize("command", [raise_price, delist])
@pytest.mark.parametrize("history", [(), (listed, delisted)])
def test_a_product_that_is_not_listed_cannot_be_changed(command: object, history: tuple[object, ...]) -> None:
    given(product, *history).when(command).then_refused("not_listed")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": " "}, "no_name"),
        ({"unit_price_minor": -1}, "bad_price"),
        ({"unit_price_minor": 10**13}, "bad_price"),
        ({"currency": "eur"}, "bad_currency"),
        ({"attributes": ABOUT["attributes"] * 2}, "bad_attributes"),
    ],
)
def test_a_listing_that_makes_no_sense_is_refused(change: dict[str, object], code: str) -> None:
    given(product).when(replace(list_, **change)).then_refused(code)


def test_a_price_that_makes_no_sense_is_refused() -> None:
    given(product, listed).when(ChangePrice(sku="mug", unit_price_minor=-1)).then_refused("bad_price")
