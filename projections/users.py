"""What can be asked about users: nothing that names them. Who is erased is forgotten."""

from dataclasses import dataclass
from datetime import datetime

from infra import Meta, changed
from schemas.users import (
    Channel,
    ContactChannelsChanged,
    RegistrationRefused,
    RegistrationRequested,
    UserErased,
    UserRegistered,
)

Heard = RegistrationRequested | RegistrationRefused | UserRegistered | ContactChannelsChanged | UserErased


@dataclass(frozen=True, kw_only=True)
class UserRow:
    user_id: str
    status: str
    reason: str
    channels: str
    requested_at: datetime
    changed_at: datetime


def row_id(event: Heard, meta: Meta) -> str:
    return event.user_id


def project(row: UserRow | None, event: Heard, meta: Meta) -> UserRow | None:
    match event:
        case RegistrationRequested():
            return UserRow(
                user_id=event.user_id,
                status="pending",
                reason="",
                channels="",
                requested_at=meta.at,
                changed_at=meta.at,
            )
        case RegistrationRefused():
            return row and changed(row, status="refused", reason=event.reason, changed_at=meta.at)
        case UserRegistered():
            return row and changed(row, status="active", channels=_kinds(event.channels), changed_at=meta.at)
        case ContactChannelsChanged():
            return row and changed(row, channels=_kinds(event.channels), changed_at=meta.at)
        case UserErased():
            return None


def _kinds(channels: tuple[Channel, ...]) -> str:
    return ", ".join(channel.kind for channel in channels if channel.enabled)
