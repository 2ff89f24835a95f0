"""What can be asked of a payment. It has the id of its order, so that racing requests meet in one aggregate."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AuthorisePayment:
    order_id: str
    amount_minor: int
    currency: str
    card: str


@dataclass(frozen=True, kw_only=True)
class CapturePayment:
    order_id: str


@dataclass(frozen=True, kw_only=True)
class VoidPayment:
    order_id: str


@dataclass(frozen=True, kw_only=True)
class RecordGatewayOutcome:
    """Asked by the context's own effects: `step` is authorise, capture or void."""

    order_id: str
    step: str
    ok: bool
    authorisation: str
    reason: str


PaymentCommand = AuthorisePayment | CapturePayment | VoidPayment | RecordGatewayOutcome
