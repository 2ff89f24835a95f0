"""What can be asked about products: searched by words and by attributes."""

from dataclasses import dataclass
from datetime import datetime

from infra import Meta, changed, shown_json
from schemas.products import PriceChanged, ProductDelisted, ProductEvent, ProductListed


@dataclass(frozen=True, kw_only=True)
class ProductRow:
    """`attributes` is a JSON object."""

    sku: str
    name: str
    description: str
    attributes: str
    unit_price_minor: int
    currency: str
    listed: bool
    changed_at: datetime


def row_id(event: ProductEvent, meta: Meta) -> str:
    return event.sku


def project(row: ProductRow | None, event: ProductEvent, meta: Meta) -> ProductRow | None:
    match event:
        case ProductListed():
            return ProductRow(
                sku=event.sku,
                name=event.name,
                description=event.description,
                attributes=shown_json({a.name: a.value for a in sorted(event.attributes, key=lambda a: a.name)}),
                unit_price_minor=event.unit_price_minor,
                currency=event.currency,
                listed=True,
                changed_at=meta.at,
            )
        case PriceChanged():
            return row and changed(
                row, unit_price_minor=event.unit_price_minor, currency=event.currency, changed_at=meta.at
            )
        case ProductDelisted():
            return row and changed(row, listed=False, changed_at=meta.at)
