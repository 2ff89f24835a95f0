"""What happens to the payment of an order. `...Requested` asks the gateway; the others are its answers."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PaymentRequested:
    """The gateway is to hold this much on the card."""

    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    card: str


@dataclass(frozen=True, kw_only=True)
class PaymentAuthorised:
    """The gateway holds it, under this id."""

    order_id: str
    amount_minor: int
    currency: str
    authorisation: str


@dataclass(frozen=True, kw_only=True)
class PaymentDeclined:
    """The gateway will not hold it."""

    order_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CaptureRequested:
    """The gateway is to take what it holds."""

    order_id: str


@dataclass(frozen=True, kw_only=True)
class PaymentCaptured:
    """The gateway took it."""

    order_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class CaptureFailed:
    """The gateway no longer holds the money, and took nothing."""

    order_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class VoidRequested:
    """Nobody needs the payment any more; what is held is let go, as soon as the gateway has answered what it was asked."""

    order_id: str


@dataclass(frozen=True, kw_only=True)
class PaymentVoided:
    """The gateway let go of what it held."""

    order_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class RefundRequested:
    """The gateway is to give this much back."""

    order_id: str
    refund_id: str
    amount_minor: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class PaymentRefunded:
    """The gateway gave it back."""

    order_id: str
    customer_id: str
    refund_id: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class RefundFailed:
    """The gateway said no; the amount may be asked for again."""

    order_id: str
    refund_id: str
    reason: str


PaymentEvent = (
    PaymentRequested
    | PaymentAuthorised
    | PaymentDeclined
    | CaptureRequested
    | PaymentCaptured
    | CaptureFailed
    | VoidRequested
    | PaymentVoided
    | RefundRequested
    | PaymentRefunded
    | RefundFailed
)
