"""How a payment decides. Pure: no clock, no randomness, no IO.

What goes out to the gateway is asked once and answered once; whoever changes their mind in between is heard when the
answer is there. What is refunded or being refunded is never more than what was taken.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from commands.payments import (
    AuthorisePayment,
    CapturePayment,
    PaymentCommand,
    RecordGatewayOutcome,
    RefundPayment,
    VoidPayment,
)
from infra import Refused, is_id
from schemas.payments import (
    CaptureFailed,
    CaptureRequested,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentEvent,
    PaymentRefunded,
    PaymentRequested,
    PaymentVoided,
    RefundFailed,
    RefundRequested,
    VoidRequested,
)

CANCELLED = "cancelled"  # the refund of an order that was cancelled after its money was taken
MAX_REFUNDS = 100
MAX_TEXT = 500  # characters of a reason


@dataclass(frozen=True)
class Money:
    amount_minor: int
    currency: str
    customer_id: str


@dataclass(frozen=True)
class Unasked: ...


@dataclass(frozen=True)
class Asked:
    """The gateway has been asked to hold the money; `unwanted` once nobody needs it any more."""

    money: Money
    card: str
    unwanted: bool = False


@dataclass(frozen=True)
class Held:
    money: Money
    authorisation: str


@dataclass(frozen=True)
class Capturing:
    money: Money
    authorisation: str
    unwanted: bool = False


@dataclass(frozen=True)
class Voiding:
    money: Money
    authorisation: str


@dataclass(frozen=True)
class Asking:
    """A refund the gateway has not answered yet."""

    refund_id: str
    amount_minor: int


@dataclass(frozen=True)
class Captured:
    """`known` are the ids of all refunds ever asked; `open_` those not answered, the first one is asked for."""

    money: Money
    authorisation: str
    refunded_minor: int = 0
    open_: tuple[Asking, ...] = ()
    known: frozenset[str] = frozenset()

    @property
    def left_minor(self) -> int:
        return self.money.amount_minor - self.refunded_minor - sum(asking.amount_minor for asking in self.open_)


@dataclass(frozen=True)
class Settled: ...


Payment = Unasked | Asked | Held | Capturing | Voiding | Captured | Settled

initial: Payment = Unasked()


def decide(command: PaymentCommand, payment: Payment) -> Iterator[PaymentEvent | Refused]:
    """Yield what happens; a repeated or late command matches nothing."""
    order_id = command.order_id
    match command, payment:
        case AuthorisePayment(), Unasked():
            yield PaymentRequested(
                order_id=order_id,
                customer_id=command.customer_id,
                amount_minor=command.amount_minor,
                currency=command.currency,
                card=command.card,
            )
        case _, Unasked():
            yield Refused(code="unknown_payment", reason=f"no payment was asked for order {order_id}")
        case CapturePayment(), Held():
            yield CaptureRequested(order_id=order_id)
        case VoidPayment(), Asked(unwanted=False) | Held() | Capturing(unwanted=False):
            yield VoidRequested(order_id=order_id)
        case VoidPayment(), Captured() if CANCELLED not in payment.known and payment.left_minor:
            yield _refund(order_id, CANCELLED, payment.left_minor, "the order was cancelled")
        case RefundPayment(), Captured() if command.refund_id not in payment.known:
            yield _ask_refund(command, payment)
        case RefundPayment(), Asked() | Held() | Capturing() | Voiding():
            yield Refused(code="not_captured", reason=f"nothing was taken for order {order_id} yet")
        case RefundPayment(), Settled():
            yield Refused(code="nothing_captured", reason=f"nothing was taken for order {order_id}")
        case RecordGatewayOutcome(), _:
            yield from _record(command, payment)


def _ask_refund(command: RefundPayment, payment: Captured) -> RefundRequested | Refused:
    amount = command.amount_minor or payment.left_minor
    if not 0 < amount <= payment.left_minor:
        return Refused(
            code="too_much",
            reason=f"{payment.left_minor} of {payment.money.amount_minor} minor units are left to refund",
        )
    if not is_id(command.refund_id) or len(payment.known) >= MAX_REFUNDS:
        return Refused(code="bad_refund", reason=f"a refund needs an id, and a payment has at most {MAX_REFUNDS}")
    if len(command.reason) > MAX_TEXT:
        return Refused(code="bad_reason", reason=f"a reason has at most {MAX_TEXT} characters")
    return _refund(command.order_id, command.refund_id, amount, command.reason)


def _refund(order_id: str, refund_id: str, amount_minor: int, reason: str) -> RefundRequested:
    return RefundRequested(order_id=order_id, refund_id=refund_id, amount_minor=amount_minor, reason=reason)


def _record(outcome: RecordGatewayOutcome, payment: Payment) -> Iterator[PaymentEvent]:
    """What the gateway answered, if it was asked just that."""
    order_id = outcome.order_id
    match outcome.step, payment:
        case "authorise", Asked(money):
            if not outcome.ok:
                yield PaymentDeclined(order_id=order_id, reason=outcome.reason)
                return
            yield PaymentAuthorised(
                order_id=order_id,
                amount_minor=money.amount_minor,
                currency=money.currency,
                authorisation=outcome.authorisation,
            )
            if payment.unwanted:
                yield VoidRequested(order_id=order_id)
        case "capture", Capturing(money):
            if not outcome.ok:
                yield CaptureFailed(order_id=order_id, reason=outcome.reason)
                return
            yield PaymentCaptured(order_id=order_id, amount_minor=money.amount_minor, currency=money.currency)
            if payment.unwanted:
                yield _refund(order_id, CANCELLED, money.amount_minor, "the order was cancelled")
        case "capture", Voiding(money) if outcome.ok:  # somebody took it at the gateway: it can only be given back
            yield PaymentCaptured(order_id=order_id, amount_minor=money.amount_minor, currency=money.currency)
            yield _refund(order_id, CANCELLED, money.amount_minor, "the order was cancelled")
        case "void", Voiding(money):  # if the gateway refuses, it holds nothing any more
            yield PaymentVoided(order_id=order_id, amount_minor=money.amount_minor, currency=money.currency)
        case "refund", Captured(money, open_=(Asking(refund_id, amount), *_)) if refund_id == outcome.refund_id:
            if outcome.ok:
                yield PaymentRefunded(
                    order_id=order_id,
                    customer_id=money.customer_id,
                    refund_id=refund_id,
                    amount_minor=amount,
                    currency=money.currency,
                )
            else:
                yield RefundFailed(order_id=order_id, refund_id=refund_id, reason=outcome.reason)


def evolve(payment: Payment, event: PaymentEvent) -> Payment:
    match event:
        case PaymentRequested():
            return Asked(Money(event.amount_minor, event.currency, event.customer_id), event.card)
        case PaymentAuthorised():
            return Held(payment.money, event.authorisation) if isinstance(payment, Asked) else payment
        case CaptureRequested():
            return Capturing(payment.money, payment.authorisation) if isinstance(payment, Held) else payment
        case VoidRequested():
            return _unwanted(payment)
        case PaymentCaptured():
            match payment:
                case Capturing(money, authorisation) | Voiding(money, authorisation):
                    return Captured(money, authorisation)
                case _:
                    return payment
        case RefundRequested():
            return _asking(payment, event) if isinstance(payment, Captured) else payment
        case PaymentRefunded():
            return _answered(payment, event.amount_minor) if isinstance(payment, Captured) else payment
        case RefundFailed():
            return _answered(payment, 0) if isinstance(payment, Captured) else payment
        case PaymentDeclined() | CaptureFailed() | PaymentVoided():
            return Settled()


def _unwanted(payment: Payment) -> Payment:
    match payment:
        case Held(money, authorisation):
            return Voiding(money, authorisation)
        case Asked() | Capturing():
            return replace(payment, unwanted=True)
        case _:
            return payment


def _asking(payment: Captured, event: RefundRequested) -> Captured:
    open_ = (*payment.open_, Asking(event.refund_id, event.amount_minor))
    return replace(payment, open_=open_, known=payment.known | {event.refund_id})


def _answered(payment: Captured, given_back_minor: int) -> Captured:
    """The first open refund is answered."""
    return replace(payment, refunded_minor=payment.refunded_minor + given_back_minor, open_=payment.open_[1:])


@dataclass(frozen=True)
class Authorise:
    order_id: str
    money: Money
    card: str


@dataclass(frozen=True)
class Capture:
    order_id: str
    authorisation: str


@dataclass(frozen=True)
class Void:
    order_id: str
    authorisation: str


@dataclass(frozen=True)
class Refund:
    order_id: str
    authorisation: str
    refund_id: str
    amount_minor: int


def pending(order_id: str, payment: Payment) -> Authorise | Capture | Void | Refund | None:
    """What is still wanted of the gateway. Equal intents are one intent: it keeps its key while the state moves on."""
    match payment:
        case Asked(money, card):
            return Authorise(order_id, money, card)
        case Capturing(_, authorisation):
            return Capture(order_id, authorisation)
        case Voiding(_, authorisation):
            return Void(order_id, authorisation)
        case Captured(_, authorisation, open_=(Asking(refund_id, amount), *_)):
            return Refund(order_id, authorisation, refund_id, amount)
        case _:
            return None
