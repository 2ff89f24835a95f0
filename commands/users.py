"""What can be asked of a user, and of the reservation of an e-mail address. Passwords are never asked here."""

from dataclasses import dataclass

from schemas.users import Channel


@dataclass(frozen=True, kw_only=True)
class RegisterUser:
    """Become a user at this e-mail address."""

    user_id: str
    email: str
    email_key: str
    name: str


@dataclass(frozen=True, kw_only=True)
class ChangeProfile:
    """Be called otherwise."""

    user_id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class ChangeContactChannels:
    """All channels, the preferred one first."""

    user_id: str
    channels: tuple[Channel, ...]


@dataclass(frozen=True, kw_only=True)
class EraseUser:
    """Forget everything that names this user, for ever."""

    user_id: str


@dataclass(frozen=True, kw_only=True)
class ClaimEmail:
    """Asked by the context's own policy: the address is reserved."""

    user_id: str
    email_key: str


@dataclass(frozen=True, kw_only=True)
class ActivateUser:
    """Asked by the context's own policy: the address is confirmed."""

    user_id: str
    email_key: str


@dataclass(frozen=True, kw_only=True)
class RefuseRegistration:
    """Asked by the context's own policy: the address is taken."""

    user_id: str
    email_key: str


@dataclass(frozen=True, kw_only=True)
class RecordErasure:
    """Asked by the context's own effects: the user's key is destroyed."""

    user_id: str


@dataclass(frozen=True, kw_only=True)
class ReserveEmail:
    """Asked by the context's own policy, like all that is asked of a reservation."""

    email_key: str
    user_id: str


@dataclass(frozen=True, kw_only=True)
class ConfirmEmail:
    """Asked by the context's own policy: the user the address is kept for is registered."""

    email_key: str
    user_id: str


@dataclass(frozen=True, kw_only=True)
class ReleaseEmail:
    """Asked by the context's own policy: the user does not need the address any more."""

    email_key: str
    user_id: str


@dataclass(frozen=True, kw_only=True)
class ExpireReservation:
    """Asked by the clock: nobody confirmed it."""

    email_key: str
    user_id: str


UserCommand = (
    RegisterUser
    | ChangeProfile
    | ChangeContactChannels
    | EraseUser
    | ClaimEmail
    | ActivateUser
    | RefuseRegistration
    | RecordErasure
)
EmailCommand = ReserveEmail | ConfirmEmail | ReleaseEmail | ExpireReservation

Asked = RegisterUser | ChangeProfile | ChangeContactChannels | EraseUser
Own = ClaimEmail | ActivateUser | RefuseRegistration | RecordErasure | EmailCommand
