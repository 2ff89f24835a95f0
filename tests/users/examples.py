from commands.users import (
    ActivateUser,
    ChangeContactChannels,
    ChangeProfile,
    ClaimEmail,
    ConfirmEmail,
    EraseUser,
    ExpireReservation,
    RecordErasure,
    RefuseRegistration,
    RegisterUser,
    ReleaseEmail,
    ReserveEmail,
)
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
sms = Channel(kind="sms", address="sealed number")

register = RegisterUser(**WHO)
claim, activate, refuse = ClaimEmail(**PAIR), ActivateUser(**PAIR), RefuseRegistration(**PAIR)
rename = ChangeProfile(user_id=USER, name="another sealed name")
by_sms = ChangeContactChannels(user_id=USER, channels=(sms,))
erase = EraseUser(user_id=USER)
record_erasure = RecordErasure(user_id=USER)
registration = RegistrationRequested(**WHO)
claimed = EmailClaimed(**PAIR)
registered = UserRegistered(user_id=USER, email="sealed address", name="sealed name", channels=(email_channel,))
refused = RegistrationRefused(**PAIR, reason="the e-mail address is taken")
erased = UserErased(**PAIR)
destroyed = KeyDestroyed(user_id=USER)
active = (registration, claimed, registered)

reserve, confirm, release, expire = (
    command(**PAIR) for command in (ReserveEmail, ConfirmEmail, ReleaseEmail, ExpireReservation)
)
reserved, taken, confirmed, released = (
    event(**PAIR) for event in (EmailReserved, EmailRefused, EmailConfirmed, EmailReleased)
)
