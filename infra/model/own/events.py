"""The whole history in SQL: one row an event, of every context."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from infra.messages import Meta, shown_json
from infra.wire import content as telling
from infra.wire import sealing
from infra.wire.content import content
from infra.wire.schemas import Node

DECIDED_BY = (telling, sealing)


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


def project(row: EventRow | None, event: object, meta: Meta, schemas: Mapping[type, Node]) -> EventRow:
    """`schemas` say what of an event may be told; a mesh binds its own."""
    return EventRow(
        event_id=meta.id,
        context=meta.context,
        type=meta.type,
        subject=meta.subject,
        at=meta.at,
        command_id=meta.command_id,
        command_type=meta.command_type,
        correlation_id=meta.correlation_id,
        content=shown_json(content(event, schemas[type(event)])),
    )
