"""What can be asked about stock: what is there, what is promised, what has left."""

from dataclasses import dataclass
from datetime import datetime

from infra import Meta, changed
from schemas.products import (
    StockAdjusted,
    StockEvent,
    StockOffered,
    StockRefused,
    StockReleased,
    StockReserved,
    StockShipped,
    StockWithdrawn,
)


@dataclass(frozen=True, kw_only=True)
class StockRow:
    sku: str
    price_minor: int | None = None
    on_hand: int = 0
    reserved: int = 0
    shipped: int = 0
    adjusted: int = 0
    refused_orders: int = 0
    changed_at: datetime


def row_id(event: StockEvent, meta: Meta) -> str:
    return event.sku


def project(row: StockRow | None, event: StockEvent, meta: Meta) -> StockRow:
    row = changed(row, changed_at=meta.at) if row else StockRow(sku=event.sku, changed_at=meta.at)
    match event:
        case StockAdjusted():
            return changed(row, on_hand=row.on_hand + event.delta, adjusted=row.adjusted + event.delta)
        case StockReserved():
            return changed(row, on_hand=row.on_hand - event.quantity, reserved=row.reserved + event.quantity)
        case StockReleased():
            return changed(row, on_hand=row.on_hand + event.quantity, reserved=row.reserved - event.quantity)
        case StockShipped():
            return changed(row, reserved=row.reserved - event.quantity, shipped=row.shipped + event.quantity)
        case StockOffered():
            return changed(row, price_minor=event.unit_price_minor)
        case StockWithdrawn():
            return changed(row, price_minor=None)
        case StockRefused():
            return changed(row, refused_orders=row.refused_orders + 1)
