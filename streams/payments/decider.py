"""How a payment decides. Pure: no clock, no randomness, no IO."""

from collections.abc import Iterator
from dataclasses import dataclass

from commands.payments import AuthorisePayment, CapturePayment, PaymentCommand, RecordGatewayOutcome, VoidPayment
from schemas import Refused
from schemas.payments import (
    CaptureRequested,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentEvent,
    PaymentRequested,
    PaymentVoided,
    VoidRequested,
)


@dataclass(frozen=True)
class Money:
    amount_minor: int
    currency: str


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


@dataclass(frozen=True)
class Voiding:
    money: Money
    authorisation: str


@dataclass(frozen=True)
class Settled: ...


Payment = Unasked | Asked | Held | Capturing | Voiding | Settled

initial: Payment = Unasked()


def decide(command: PaymentCommand, payment: Payment) -> Iterator[PaymentEvent | Refused]:
    """Yield what happens; a repeated or late command matches nothing."""
    order_id = command.order_id
    match command, payment:
        case AuthorisePayment(), Unasked():
            yield PaymentRequested(
                order_id=order_id, amount_minor=command.amount_minor, currency=command.currency, card=command.card
            )
        case _, Unasked():
            yield Refused(code="unknown_payment", reason=f"no payment was asked for order {order_id}")
        case RecordGatewayOutcome(step="authorise", ok=True), Asked(money):
            yield PaymentAuthorised(
                order_id=order_id,
                amount_minor=money.amount_minor,
                currency=money.currency,
                authorisation=command.authorisation,
            )
            if payment.unwanted:
                yield VoidRequested(order_id=order_id)
        case RecordGatewayOutcome(step="authorise", ok=False), Asked():
            yield PaymentDeclined(order_id=order_id, reason=command.reason)
        case CapturePayment(), Held():
            yield CaptureRequested(order_id=order_id)
        case VoidPayment(), Asked(unwanted=False) | Held():
            yield VoidRequested(order_id=order_id)
        case RecordGatewayOutcome(step="capture", ok=True), Capturing(money):
            yield PaymentCaptured(order_id=order_id, amount_minor=money.amount_minor, currency=money.currency)
        case RecordGatewayOutcome(step="void", ok=True), Voiding(money):
            yield PaymentVoided(order_id=order_id, amount_minor=money.amount_minor, currency=money.currency)


def evolve(payment: Payment, event: PaymentEvent) -> Payment:
    match event, payment:
        case PaymentRequested(), _:
            return Asked(Money(event.amount_minor, event.currency), event.card)
        case PaymentAuthorised(), _:
            return Held(Money(event.amount_minor, event.currency), event.authorisation)
        case CaptureRequested(), Held(money, authorisation):
            return Capturing(money, authorisation)
        case VoidRequested(), Held(money, authorisation):
            return Voiding(money, authorisation)
        case VoidRequested(), Asked(money, card):
            return Asked(money, card, unwanted=True)
        case ((PaymentDeclined() | PaymentCaptured() | PaymentVoided()), _):
            return Settled()
    return payment


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


def pending(order_id: str, payment: Payment) -> Authorise | Capture | Void | None:
    """What is still wanted of the gateway. Equal intents are one intent: it keeps its key while the state moves on."""
    match payment:
        case Asked(money, card):
            return Authorise(order_id, money, card)
        case Capturing(_, authorisation):
            return Capture(order_id, authorisation)
        case Voiding(_, authorisation):
            return Void(order_id, authorisation)
        case _:
            return None
