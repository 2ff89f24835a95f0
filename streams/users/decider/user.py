"""How a user decides. Pure: no clock, no randomness, no IO. What names a person is passed on, and never looked at."""

from collections.abc import Iterator
from dataclasses import dataclass

from commands.users import (
    ActivateUser,
    ChangeContactChannels,
    ChangeProfile,
    ClaimEmail,
    EraseUser,
    RecordErasure,
    RefuseRegistration,
    RegisterUser,
    UserCommand,
)
from infra import Refused, is_id
from schemas.users import (
    Channel,
    ContactChannelsChanged,
    EmailClaimed,
    KeyDestroyed,
    ProfileChanged,
    RegistrationRefused,
    RegistrationRequested,
    UserErased,
    UserEvent,
    UserRegistered,
)

KINDS = ("email", "sms", "push")
MAX_CHANNELS = 10
MAX_ADDRESS = 8192  # characters, sealed


@dataclass(frozen=True)
class Unknown: ...


@dataclass(frozen=True)
class Pending:
    """Registered once the e-mail address is theirs alone."""

    email: str
    email_key: str
    name: str


@dataclass(frozen=True)
class Active:
    email_key: str


@dataclass(frozen=True)
class Erased:
    """Gone for good; `readable` until the key is destroyed that opens what named them."""

    readable: bool = True


@dataclass(frozen=True)
class DestroyKey:
    user_id: str


User = Unknown | Pending | Active | Erased

initial: User = Unknown()


def decide(command: UserCommand, user: User) -> Iterator[UserEvent | Refused]:
    """Yield what happens; a repeated or late command matches nothing."""
    user_id = command.user_id
    match command, user:
        case RegisterUser(), Unknown() if not (command.email and is_id(command.email_key)):
            yield Refused(
                code="no_email", reason="a user is registered with an e-mail address and its key, which is an id"
            )
        case RegisterUser(), Unknown():
            yield RegistrationRequested(
                user_id=user_id, email=command.email, email_key=command.email_key, name=command.name
            )
        case RegisterUser(), Erased():
            yield Refused(code="erased", reason=f"user {user_id} was erased; choose another id")
        case RegisterUser(), _:
            yield Refused(code="already_registered", reason=f"user {user_id} was registered before")
        case _, Unknown():
            yield Refused(code="unknown_user", reason=f"there is no user {user_id}; register them first")
        case ClaimEmail(), Pending(email_key=key) if key == command.email_key:
            yield EmailClaimed(user_id=user_id, email_key=key)
        case ActivateUser(), Pending(email, key, name) if key == command.email_key:
            channel = Channel(kind="email", address=email)
            yield UserRegistered(user_id=user_id, email=email, name=name, channels=(channel,))
        case RefuseRegistration(), Pending(email_key=key) if key == command.email_key:
            yield RegistrationRefused(user_id=user_id, email_key=key, reason="the e-mail address is taken")
        case ChangeProfile(), Active():
            yield ProfileChanged(user_id=user_id, name=command.name)
        case ChangeContactChannels(), Active():
            yield _change_channels(command)
        case ((ChangeProfile() | ChangeContactChannels()), Pending()):
            yield Refused(code="not_active", reason=f"the registration of user {user_id} is not complete yet")
        case EraseUser(), Pending() | Active():
            yield UserErased(user_id=user_id, email_key=user.email_key)
        case RecordErasure(), Erased(readable=True):
            yield KeyDestroyed(user_id=user_id)


def _change_channels(command: ChangeContactChannels) -> ContactChannelsChanged | Refused:
    for channel in command.channels:
        if channel.kind not in KINDS or not channel.address:
            return Refused(code="bad_channel", reason=f"a channel is one of {', '.join(KINDS)} and has an address")
        if len(channel.address) > MAX_ADDRESS:
            return Refused(code="bad_channel", reason=f"an address has at most {MAX_ADDRESS} characters, sealed")
    if len(command.channels) > MAX_CHANNELS:
        return Refused(code="bad_channel", reason=f"a user has at most {MAX_CHANNELS} channels")
    return ContactChannelsChanged(user_id=command.user_id, channels=command.channels)


def evolve(user: User, event: UserEvent) -> User:
    match event:
        case RegistrationRequested():
            return Pending(event.email, event.email_key, event.name)
        case UserRegistered():
            return Active(user.email_key) if isinstance(user, Pending) else user
        case RegistrationRefused():
            return Unknown()
        case UserErased():
            return Erased()
        case KeyDestroyed():
            return Erased(readable=False)
        case EmailClaimed() | ProfileChanged() | ContactChannelsChanged():
            return user


def pending(user_id: str, user: User) -> DestroyKey | None:
    """What has to be done outside before nobody can read what named an erased user."""
    return DestroyKey(user_id) if user == Erased(readable=True) else None
