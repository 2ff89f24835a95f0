from commands.users import RegisterUser
from schemas.users import (
    Channel,
    EmailClaimed,
    EmailConfirmed,
    EmailRefused,
    EmailReleased,
    EmailReserved,
    KeyDestroyed,
    RegistrationRefused,
    RegistrationRequested,
    UserErased,
    UserRegistered,
)

USER = "user-1"
WHO = {"user_id": USER, "email": "sealed address", "email_key": "k1", "name": "sealed name"}
PAIR = {"email_key": "k1", "user_id": USER}
email_channel = Channel(kind="email", address="sealed address")

register = RegisterUser(**WHO)
registration = RegistrationRequested(**WHO)
claimed = EmailClaimed(**PAIR)
registered = UserRegistered(user_id=USER, email="sealed address", name="sealed name", channels=(email_channel,))
refused = RegistrationRefused(**PAIR, reason="the e-mail address is taken")
erased = UserErased(**PAIR)
destroyed = KeyDestroyed(user_id=USER)
active = (registration, claimed, registered)

reserved, taken, confirmed, released = (
    event(**PAIR) for event in (EmailReserved, EmailRefused, EmailConfirmed, EmailReleased)
)
