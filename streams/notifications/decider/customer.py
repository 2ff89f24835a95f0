"""How it is decided which way a customer is told. Pure: no clock, no randomness, no IO.

Addresses are sealed: they are handed on, and never looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from commands.notifications import (
    CustomerCommand,
    ForgetContact,
    GiveUpTelling,
    RecordContact,
    TellCustomer,
    TellWaiting,
)
from infra import Due, Refused
from schemas.notifications import (
    Channel,
    ChannelChosen,
    ContactForgotten,
    ContactRecorded,
    CustomerEvent,
    TellingPostponed,
    TellingSkipped,
)
from streams.notifications.decider.templates import TEMPLATES, render

UNKNOWN_S = 7 * 86_400  # how long a customer may stay unknown
MAX_WAITING = 200
TOLD_AT_ONCE = 50  # of what waited: the events of one command go into the log together, and each has a whole message


@dataclass(frozen=True)
class Unknown:
    """Nobody has told us of the customer yet; what they are to be told waits."""

    waiting: tuple[TellingPostponed, ...] = ()


@dataclass(frozen=True)
class Known:
    """`waiting` is what is still to be said of what waited."""

    channels: tuple[Channel, ...]
    waiting: tuple[TellingPostponed, ...] = ()


@dataclass(frozen=True)
class Forgotten: ...


Customer = Unknown | Known | Forgotten

initial: Customer = Unknown()


def decide(command: CustomerCommand, customer: Customer) -> Iterator[CustomerEvent | Refused]:
    """Yield what happens; a repeated command matches nothing."""
    match command, customer:
        case TellCustomer(), _ if command.occasion not in TEMPLATES:
            yield Refused(code="unknown_occasion", reason=f"{command.occasion!r} is none of {', '.join(TEMPLATES)}")
        case TellCustomer(), Unknown(waiting) if any(
            telling.notification_id == command.notification_id for telling in waiting
        ):
            return
        case TellCustomer(), Unknown(waiting) if len(waiting) >= MAX_WAITING:
            yield _skip(
                _postpone(command), f"nothing is known of the customer, and {MAX_WAITING} messages wait already"
            )
        case TellCustomer(), Unknown():
            yield _postpone(command)
        case TellCustomer(), Known(waiting=waiting) if any(
            telling.notification_id == command.notification_id for telling in waiting
        ):
            return
        case TellCustomer(), Known(channels):
            yield _choose(_postpone(command), channels)
        case TellCustomer(), Forgotten():
            yield _skip(_postpone(command), "the customer was erased")
        case RecordContact(), Unknown(waiting):
            yield ContactRecorded(customer_id=command.customer_id, channels=command.channels)
            for telling in waiting[:TOLD_AT_ONCE]:
                yield _choose(telling, command.channels)
        case TellWaiting(), Known(channels, waiting):
            for telling in waiting[:TOLD_AT_ONCE]:
                yield _choose(telling, channels)
        case RecordContact(), Known(channels) if channels != command.channels:
            yield ContactRecorded(customer_id=command.customer_id, channels=command.channels)
        case ForgetContact(), Unknown(waiting):
            yield ContactForgotten(customer_id=command.customer_id)
            for telling in waiting:
                yield _skip(telling, "the customer was erased")
        case ForgetContact(), Known(waiting=waiting):
            yield ContactForgotten(customer_id=command.customer_id)
            for telling in waiting:
                yield _skip(telling, "the customer was erased")
        case GiveUpTelling(), Unknown(waiting):
            for telling in waiting:
                yield _skip(telling, "nothing became known of the customer")


def _postpone(command: TellCustomer) -> TellingPostponed:
    return TellingPostponed(**vars(command))


def _choose(telling: TellingPostponed, channels: tuple[Channel, ...]) -> ChannelChosen | TellingSkipped:
    channel = next((c for c in channels if c.enabled), None)
    if channel is None:
        return _skip(telling, "the customer has switched every channel off")
    subject, body = render(telling.occasion, telling.order_id, telling.amount_minor, telling.currency, telling.detail)
    return ChannelChosen(
        customer_id=telling.customer_id,
        notification_id=telling.notification_id,
        order_id=telling.order_id,
        occasion=telling.occasion,
        channel=channel.kind,
        recipient=channel.address,
        subject=subject,
        body=body,
    )


def _skip(telling: TellingPostponed, reason: str) -> TellingSkipped:
    return TellingSkipped(
        customer_id=telling.customer_id,
        notification_id=telling.notification_id,
        order_id=telling.order_id,
        occasion=telling.occasion,
        reason=reason,
    )


def evolve(customer: Customer, event: CustomerEvent) -> Customer:
    match event:
        case TellingPostponed():
            return replace(customer, waiting=(*customer.waiting, event)) if isinstance(customer, Unknown) else customer
        case ChannelChosen() | TellingSkipped():
            return _told(customer, event.notification_id) if isinstance(customer, Unknown | Known) else customer
        case ContactRecorded():
            return Known(event.channels, () if isinstance(customer, Forgotten) else customer.waiting)
        case ContactForgotten():
            return Forgotten()


def _told(customer: Unknown | Known, notification_id: str) -> Unknown | Known:
    rest = tuple(telling for telling in customer.waiting if telling.notification_id != notification_id)
    return replace(customer, waiting=rest)


def due(customer_id: str, customer: Customer) -> Due | None:
    """What waits for a customer who never turns up is given up; when they do, it is told in portions."""
    match customer:
        case Unknown(waiting) if waiting:
            return Due(UNKNOWN_S, GiveUpTelling(customer_id=customer_id))
        case Known(waiting=waiting) if waiting:
            return Due(0, TellWaiting(customer_id=customer_id, left=len(waiting)))
        case _:
            return None
