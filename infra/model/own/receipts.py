"""What became of every command: accepted (which events), refused or rejected (why), parked or discarded."""

from dataclasses import dataclass
from datetime import datetime

from infra.messages import REUSED_CODE, Discarded, Meta, Parked, Refused, Rejected, changed

KEPT = ("rejected", "parked")


@dataclass(frozen=True, kw_only=True)
class Receipt:
    receipt_id: str
    command_id: str
    command_type: str
    context: str
    subject: str
    status: str
    code: str
    reason: str
    events: str
    last_event_id: str
    way: str
    command_digest: str
    command_partition: int
    command_offset: int
    correlation_id: str
    decided_at: datetime


def row_id(event: object, meta: Meta) -> str:
    """One for each command; who took the id of another has one of their own.

    Anybody says what is in a subject and an id, so they stand at the end, and where the one ends is said in front.
    """
    asked = f"{len(meta.subject)}/{meta.subject}/{meta.command_id}"
    if isinstance(event, Refused) and event.code == REUSED_CODE:
        return f"{meta.context}/reused/{meta.partition}/{meta.command_offset}/{asked}"
    return f"{meta.context}/{meta.way}/{asked}"


def project(row: Receipt | None, event: object, meta: Meta) -> Receipt | None:
    """A command that was kept may be sent again under its id: then its later answer counts."""
    if row is not None and row.status not in KEPT:
        same = (row.command_partition, row.command_offset) == (meta.partition, meta.command_offset)
        return changed(row, events=f"{row.events}, {meta.type}", last_event_id=meta.id) if same else row
    status, code, reason = "accepted", "", ""
    match event:
        case Refused() | Rejected():
            status, code, reason = type(event).__name__.lower(), event.code, event.reason
        case Parked():
            status, code, reason = "parked", "behind", f"waits behind {event.behind}, which could not be processed"
        case Discarded():
            status, code, reason = "discarded", "discarded", event.reason
    return Receipt(
        receipt_id=row_id(event, meta),
        command_id=meta.command_id,
        command_type=meta.command_type,
        context=meta.context,
        subject=meta.subject,
        status=status,
        code=code,
        reason=reason,
        events=meta.type,
        last_event_id=meta.id,
        way=meta.way,
        command_digest=meta.command_digest,
        command_partition=meta.partition,
        command_offset=meta.command_offset,
        correlation_id=meta.correlation_id,
        decided_at=meta.at,
    )
