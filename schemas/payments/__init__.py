"""What happens to the payment of an order. `...Requested` asks the gateway; the others are its answers."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PaymentRequested:
    order_id: str
    amount_minor: int
    currency: str
    card: str


@dataclass(frozen=True, kw_only=True)
class PaymentAuthorised:
    order_id: str
    amount_minor: int
    currency: str
    authorisation: str


@dataclass(frozen=True, kw_only=True)
class PaymentDeclined:
    order_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CaptureRequested:
    order_id: str


@dataclass(frozen=True, kw_only=True)
class PaymentCaptured:
    order_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class VoidRequested:
    order_id: str


@dataclass(frozen=True, kw_only=True)
class PaymentVoided:
    order_id: str
    amount_minor: int
    currency: str


PaymentEvent = (
    PaymentRequested
    | PaymentAuthorised
    | PaymentDeclined
    | CaptureRequested
    | PaymentCaptured
    | VoidRequested
    | PaymentVoided
)
