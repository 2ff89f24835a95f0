from commands.payments import AuthorisePayment, CapturePayment, RecordGatewayOutcome, RefundPayment, VoidPayment
from schemas.payments import (
    CaptureFailed,
    CaptureRequested,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentRequested,
    PaymentVoided,
    RefundFailed,
    RefundRequested,
    VoidRequested,
)

ORDER = "order-1"
CUSTOMER = "customer-1"
MONEY = {"amount_minor": 2630, "currency": "EUR"}

authorise = AuthorisePayment(order_id=ORDER, customer_id=CUSTOMER, **MONEY, card="card_ok")
capture, void = CapturePayment(order_id=ORDER), VoidPayment(order_id=ORDER)
refund_all = RefundPayment(order_id=ORDER, refund_id="r2")
record_authorised = RecordGatewayOutcome(order_id=ORDER, step="authorise", ok=True, authorisation="auth_1", reason="")
requested = PaymentRequested(order_id=ORDER, customer_id=CUSTOMER, **MONEY, card="card_ok")
authorised = PaymentAuthorised(order_id=ORDER, **MONEY, authorisation="auth_1")
declined = PaymentDeclined(order_id=ORDER, reason="no funds")
capture_requested = CaptureRequested(order_id=ORDER)
captured = PaymentCaptured(order_id=ORDER, **MONEY)
capture_failed = CaptureFailed(order_id=ORDER, reason="lapsed")
void_requested = VoidRequested(order_id=ORDER)
voided = PaymentVoided(order_id=ORDER, **MONEY)

taken = (requested, authorised, capture_requested, captured)


def refund_requested(refund_id: str, amount_minor: int, reason: str = "") -> RefundRequested:
    return RefundRequested(order_id=ORDER, refund_id=refund_id, amount_minor=amount_minor, reason=reason)


def refunded(refund_id: str, amount_minor: int) -> PaymentRefunded:
    return PaymentRefunded(
        order_id=ORDER, customer_id=CUSTOMER, refund_id=refund_id, amount_minor=amount_minor, currency="EUR"
    )


def refund_failed(refund_id: str) -> RefundFailed:
    return RefundFailed(order_id=ORDER, refund_id=refund_id, reason="no")


def outcome(step: str, ok: bool = True, reason: str = "", refund_id: str = "") -> RecordGatewayOutcome:
    return RecordGatewayOutcome(
        order_id=ORDER, step=step, ok=ok, authorisation="auth_1", reason=reason, refund_id=refund_id
    )
