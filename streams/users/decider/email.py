"""How an e-mail address is reserved, so that only one user has it. Pure: no clock, no randomness, no IO.

Two users may ask at once; the log of the address decides who was first. Nobody looks at a projection.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from commands.users import ConfirmEmail, EmailCommand, ExpireReservation, ReleaseEmail, ReserveEmail
from infra import Due, Refused
from schemas.users import EmailConfirmed, EmailEvent, EmailRefused, EmailReleased, EmailReserved

UNCONFIRMED_S = 3600


@dataclass(frozen=True)
class Free: ...


@dataclass(frozen=True)
class Reserved:
    user_id: str


@dataclass(frozen=True)
class Confirmed:
    user_id: str


Email = Free | Reserved | Confirmed

initial: Email = Free()


def decide(command: EmailCommand, email: Email) -> Iterator[EmailEvent | Refused]:
    """Yield what happens; a repeated or late command matches nothing."""
    key, user = command.email_key, command.user_id
    match command, email:
        case ReserveEmail(), Free():
            yield EmailReserved(email_key=key, user_id=user)
        case ReserveEmail(), Reserved(other) | Confirmed(other) if other != user:
            yield EmailRefused(email_key=key, user_id=user)
        case ConfirmEmail(), Reserved(owner) if owner == user:
            yield EmailConfirmed(email_key=key, user_id=user)
        case ConfirmEmail(), Free():  # it took too long, and the reservation is gone
            yield EmailRefused(email_key=key, user_id=user)
        case ConfirmEmail(), Reserved(other) | Confirmed(other) if other != user:
            yield EmailRefused(email_key=key, user_id=user)
        case ReleaseEmail(), Reserved(owner) | Confirmed(owner) if owner == user:
            yield EmailReleased(email_key=key, user_id=user)
        case ExpireReservation(), Reserved(owner) if owner == user:
            yield EmailReleased(email_key=key, user_id=user)


def evolve(email: Email, event: EmailEvent) -> Email:
    match event:
        case EmailReserved():
            return Reserved(event.user_id)
        case EmailConfirmed():
            return Confirmed(event.user_id)
        case EmailReleased():
            return Free()
        case EmailRefused():
            return email


def due(email_key: str, email: Email) -> Due | None:
    """A reservation nobody confirms is released."""
    match email:
        case Reserved(user_id):
            return Due(UNCONFIRMED_S, ExpireReservation(email_key=email_key, user_id=user_id))
        case _:
            return None
