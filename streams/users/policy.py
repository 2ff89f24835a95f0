"""How a user and an e-mail address come together: reserve, claim, confirm, activate; or let go. Pure."""

from collections.abc import Iterator

from commands.users import (
    ActivateUser,
    ClaimEmail,
    ConfirmEmail,
    Own,
    RefuseRegistration,
    ReleaseEmail,
    ReserveEmail,
)
from schemas.users import EmailClaimed, EmailConfirmed, EmailRefused, EmailReserved, RegistrationRequested, UserErased


def react(
    event: RegistrationRequested | EmailReserved | EmailRefused | EmailClaimed | EmailConfirmed | UserErased,
) -> Iterator[Own]:
    key, user = event.email_key, event.user_id
    match event:
        case RegistrationRequested():
            yield ReserveEmail(email_key=key, user_id=user)
        case EmailReserved():
            yield ClaimEmail(user_id=user, email_key=key)
        case EmailRefused():
            yield RefuseRegistration(user_id=user, email_key=key)
        case EmailClaimed():
            yield ConfirmEmail(email_key=key, user_id=user)
        case EmailConfirmed():
            yield ActivateUser(user_id=user, email_key=key)
        case UserErased():  # compensation is a reaction like any other
            yield ReleaseEmail(email_key=key, user_id=user)
