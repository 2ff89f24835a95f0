"""The whole history in SQL: one row an event, of every context."""

import json
from dataclasses import dataclass
from datetime import datetime

from schemas import Meta
from schemas.content import content


@dataclass(frozen=True, kw_only=True)
class EventRow:
    event_id: str
    context: str
    type: str
    subject: str
    at: datetime
    command_id: str
    command_type: str
    correlation_id: str
    content: str


def row_id(event: object, meta: Meta) -> str:
    return meta.id


def project(row: EventRow | None, event: object, meta: Meta) -> EventRow:
    return EventRow(
        event_id=meta.id,
        context=meta.context,
        type=meta.type,
        subject=meta.subject,
        at=meta.at,
        command_id=meta.command_id,
        command_type=meta.command_type,
        correlation_id=meta.correlation_id,
        content=json.dumps(content(event), ensure_ascii=False, separators=(",", ":")),
    )
