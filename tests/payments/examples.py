from commands.payments import AuthorisePayment, RecordGatewayOutcome
from schemas.payments import (
    CaptureRequested,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRequested,
    PaymentVoided,
    VoidRequested,
)

ORDER = "order-1"
MONEY = {"amount_minor": 2630, "currency": "EUR"}

authorise = AuthorisePayment(order_id=ORDER, **MONEY, card="card_ok")
requested = PaymentRequested(order_id=ORDER, **MONEY, card="card_ok")
authorised = PaymentAuthorised(order_id=ORDER, **MONEY, authorisation="auth_1")
declined = PaymentDeclined(order_id=ORDER, reason="no funds")
capture_requested = CaptureRequested(order_id=ORDER)
captured = PaymentCaptured(order_id=ORDER, **MONEY)
void_requested = VoidRequested(order_id=ORDER)
voided = PaymentVoided(order_id=ORDER, **MONEY)


def outcome(step: str, ok: bool = True, reason: str = "") -> RecordGatewayOutcome:
    return RecordGatewayOutcome(order_id=ORDER, step=step, ok=ok, authorisation="auth_1", reason=reason)
