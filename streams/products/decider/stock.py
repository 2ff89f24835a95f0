"""How the stock of one SKU decides. Pure: no clock, no randomness, no IO.

`on_hand` is what may still be reserved: initial + adjusted = on hand + reserved + shipped, and it is never below zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from immutables import Map

from commands.products import (
    AdjustStock,
    OfferStock,
    ReleaseStock,
    ReserveStock,
    ShipStock,
    StockCommand,
    WithdrawStock,
)
from infra import Refused
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

MAX_ON_HAND = 10**12


@dataclass(frozen=True)
class Offer:
    unit_price_minor: int
    currency: str


@dataclass(frozen=True)
class Stock:
    """`held` is the reserved quantity of each order that was neither shipped nor cancelled yet."""

    on_hand: int = 0
    offer: Offer | None = None
    held: Map[str, int] = field(default_factory=Map)


initial = Stock()


def decide(command: StockCommand, stock: Stock) -> Iterator[StockEvent | Refused]:
    """Yield what happens; a repeated or late command matches nothing."""
    sku = command.sku
    match command:
        case OfferStock() if stock.offer != Offer(command.unit_price_minor, command.currency):
            yield StockOffered(sku=sku, unit_price_minor=command.unit_price_minor, currency=command.currency)
        case WithdrawStock() if stock.offer is not None:
            yield StockWithdrawn(sku=sku)
        case AdjustStock() if command.delta:
            on_hand = stock.on_hand + command.delta
            if 0 <= on_hand <= MAX_ON_HAND:
                yield StockAdjusted(sku=sku, delta=command.delta, on_hand=on_hand, reason=command.reason)
            else:
                yield Refused(
                    code="not_enough",
                    reason=f"{stock.on_hand} of {sku} are on hand and not reserved; that cannot change by {command.delta}",
                )
        case ReserveStock() if command.order_id not in stock.held:
            why_not = _refusal(command, stock)
            if why_not is None:
                yield StockReserved(sku=sku, order_id=command.order_id, quantity=command.quantity)
            else:
                code, reason = why_not
                yield StockRefused(
                    sku=sku, order_id=command.order_id, quantity=command.quantity, code=code, reason=reason
                )
        case ReleaseStock() if command.order_id in stock.held:
            yield StockReleased(sku=sku, order_id=command.order_id, quantity=stock.held[command.order_id])
        case ShipStock() if command.order_id in stock.held:
            yield StockShipped(sku=sku, order_id=command.order_id, quantity=stock.held[command.order_id])


def _refusal(command: ReserveStock, stock: Stock) -> tuple[str, str] | None:
    if stock.offer is None:
        return "not_offered", f"{command.sku} is not for sale"
    if stock.offer != Offer(command.unit_price_minor, command.currency):
        return "price", f"{command.sku} costs {stock.offer.unit_price_minor} {stock.offer.currency} (minor units) now"
    if command.quantity > stock.on_hand:
        return "out_of_stock", f"{command.sku} is out of stock: {command.quantity} wanted, {stock.on_hand} left"
    return None


def evolve(stock: Stock, event: StockEvent) -> Stock:
    match event:
        case StockOffered():
            return replace(stock, offer=Offer(event.unit_price_minor, event.currency))
        case StockWithdrawn():
            return replace(stock, offer=None)
        case StockAdjusted():
            return replace(stock, on_hand=stock.on_hand + event.delta)
        case StockReserved():
            held = stock.held.set(event.order_id, event.quantity)
            return replace(stock, on_hand=stock.on_hand - event.quantity, held=held)
        case StockReleased():
            return replace(stock, on_hand=stock.on_hand + event.quantity, held=stock.held.delete(event.order_id))
        case StockShipped():
            return replace(stock, held=stock.held.delete(event.order_id))
        case StockRefused():
            return stock
