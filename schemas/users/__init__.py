"""What happens to a user, and to the reservation of an e-mail address: two kinds of aggregates.

Fields that name a person (`pii` in the .avsc) hold sealed text: only who has the person's key can read them, and no
fold depends on them. `email_key` is a keyed hash of the address: equal addresses have equal keys, and say no more.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Channel:
    """Where a person wants to hear from us: `kind` is email, sms or push."""

    kind: str
    address: str
    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class RegistrationRequested:
    """Somebody wants to be a user, at an address that has to be reserved first."""

    user_id: str
    email: str
    email_key: str
    name: str


@dataclass(frozen=True, kw_only=True)
class EmailClaimed:
    """The address is reserved for the user, who still wants it."""

    user_id: str
    email_key: str


@dataclass(frozen=True, kw_only=True)
class UserRegistered:
    """They are a user, at an address that is theirs alone."""

    user_id: str
    email: str
    name: str
    channels: tuple[Channel, ...]


@dataclass(frozen=True, kw_only=True)
class RegistrationRefused:
    """They are none: the address is somebody else's."""

    user_id: str
    email_key: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ProfileChanged:
    """They are called otherwise."""

    user_id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class ContactChannelsChanged:
    """All channels of the user, the preferred one first."""

    user_id: str
    channels: tuple[Channel, ...]


@dataclass(frozen=True, kw_only=True)
class UserErased:
    """They are to be forgotten, by everybody."""

    user_id: str
    email_key: str


@dataclass(frozen=True, kw_only=True)
class KeyDestroyed:
    """Nobody can read any more what names the user, in any topic or backup."""

    user_id: str


@dataclass(frozen=True, kw_only=True)
class EmailReserved:
    """The address is kept for a user until they are registered, or time is up."""

    email_key: str
    user_id: str


@dataclass(frozen=True, kw_only=True)
class EmailRefused:
    """Somebody else has the address."""

    email_key: str
    user_id: str


@dataclass(frozen=True, kw_only=True)
class EmailConfirmed:
    """The address is theirs."""

    email_key: str
    user_id: str


@dataclass(frozen=True, kw_only=True)
class EmailReleased:
    """The address is free again."""

    email_key: str
    user_id: str


UserEvent = (
    RegistrationRequested
    | EmailClaimed
    | UserRegistered
    | RegistrationRefused
    | ProfileChanged
    | ContactChannelsChanged
    | UserErased
    | KeyDestroyed
)
EmailEvent = EmailReserved | EmailRefused | EmailConfirmed | EmailReleased
