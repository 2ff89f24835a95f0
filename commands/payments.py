"""What can be asked of a payment. It has the id of its order, so that racing requests meet in one aggregate."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AuthorisePayment:
    """Hold this much on the card."""

    order_id: str
    customer_id: str
    amount_minor: int
    currency: str
    card: str


@dataclass(frozen=True, kw_only=True)
class CapturePayment:
    """Take what is held."""

    order_id: str


@dataclass(frozen=True, kw_only=True)
class VoidPayment:
    """Give the money back, however far it has gone: let it go if it is held, refund it if it was taken."""

    order_id: str


@dataclass(frozen=True, kw_only=True)
class RefundPayment:
    """Give back `amount_minor` of what was taken; 0 stands for all that is left. One `refund_id` is one refund."""

    order_id: str
    refund_id: str
    amount_minor: int = 0
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class RecordGatewayOutcome:
    """Asked by the context's own effects: `step` is authorise, capture, void or refund (of `refund_id`)."""

    order_id: str
    step: str
    ok: bool
    authorisation: str
    reason: str
    refund_id: str = ""


Asked = RefundPayment
Own = AuthorisePayment | CapturePayment | VoidPayment | RecordGatewayOutcome
PaymentCommand = Asked | Own
