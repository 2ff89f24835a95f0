"""How a product decides. Pure: no clock, no randomness, no IO."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from commands.products import ChangePrice, DelistProduct, ListProduct, ProductCommand
from infra import Refused
from schemas.products import PriceChanged, ProductDelisted, ProductEvent, ProductListed

MAX_PRICE_MINOR = 10**12
MAX_ATTRIBUTES = 50
CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True)
class Unlisted: ...


@dataclass(frozen=True)
class Listed:
    """Everything its event says, so that listing the same again is no news."""

    listing: ProductListed


Product = Unlisted | Listed

initial: Product = Unlisted()


def decide(command: ProductCommand, product: Product) -> Iterator[ProductEvent | Refused]:
    """Yield what happens; a repeated command matches nothing."""
    match command, product:
        case ListProduct(), _:
            listed = _list(command)
            if not isinstance(product, Listed) or product.listing != listed:
                yield listed
        case _, Unlisted():
            yield Refused(code="not_listed", reason=f"no product {command.sku} is listed; list it first")
        case ChangePrice(), Listed(listing) if command.unit_price_minor != listing.unit_price_minor:
            if 0 <= command.unit_price_minor <= MAX_PRICE_MINOR:
                yield PriceChanged(
                    sku=command.sku, unit_price_minor=command.unit_price_minor, currency=listing.currency
                )
            else:
                yield _bad_price()
        case DelistProduct(), Listed():
            yield ProductDelisted(sku=command.sku)


def _list(command: ListProduct) -> ProductListed | Refused:
    if not command.name.strip():
        return Refused(code="no_name", reason="a product needs a name")
    if not 0 <= command.unit_price_minor <= MAX_PRICE_MINOR:
        return _bad_price()
    if not CURRENCY.fullmatch(command.currency):
        return Refused(code="bad_currency", reason=f"{command.currency!r} is not a currency code such as EUR")
    if len(command.attributes) > MAX_ATTRIBUTES or len({a.name for a in command.attributes}) < len(command.attributes):
        return Refused(
            code="bad_attributes", reason=f"a product has at most {MAX_ATTRIBUTES} attributes of different names"
        )
    return ProductListed(
        sku=command.sku,
        name=command.name,
        description=command.description,
        attributes=command.attributes,
        unit_price_minor=command.unit_price_minor,
        currency=command.currency,
    )


def _bad_price() -> Refused:
    return Refused(code="bad_price", reason=f"a price is 0 to {MAX_PRICE_MINOR} minor units")


def evolve(product: Product, event: ProductEvent) -> Product:
    match event:
        case ProductListed():
            return Listed(event)
        case PriceChanged():
            return _priced(product.listing, event.unit_price_minor) if isinstance(product, Listed) else product
        case ProductDelisted():
            return Unlisted()


def _priced(listing: ProductListed, unit_price_minor: int) -> Listed:
    return Listed(replace(listing, unit_price_minor=unit_price_minor))
