"""From other contexts' events to commands for one's own: the whole choreography. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from infra.errors import LogDamaged
from infra.model.context import Context
from infra.wire.avro import Codec
from infra.wire.record import CORRELATION, ID, TRACE, TYPE, Outgoing, Record, accepted, command_headers, text


def commands_from(context: Context, codec: Codec, records: Iterable[Record]) -> Iterator[Outgoing]:
    """What `context` asks itself because of accepted events. A command's id follows from its event's, so asking twice is asking once."""
    assert context.react is not None
    heard = {codec.names[event].encode() for event in context.hears}
    for record in records:
        headers = dict(record.headers)
        if headers.get(TYPE) not in heard or not accepted(headers, record.offset):
            continue
        try:
            event = codec.decode(record.value or b"")
        except ValueError as error:
            raise LogDamaged(
                f"{record.topic}/{record.partition}/{record.offset} was accepted but cannot be read: {error}"
            ) from error
        event_id, correlation = text(headers.get(ID)) or "", text(headers.get(CORRELATION)) or ""
        for number, command in enumerate(context.react(event)):
            yield outgoing_command(
                codec,
                command,
                f"{event_id}/{context.name}/{number}",
                correlation=correlation,
                causation=event_id,
                cause_ms=record.timestamp,
                trace=text(headers.get(TRACE)) or "",
            )


def outgoing_command(
    codec: Codec,
    command: Any,
    command_id: str,
    *,
    correlation: str = "",
    causation: str = "",
    cause_ms: int | None = None,
    trace: str = "",
) -> Outgoing:
    """A command as a record; its key is its first field."""
    key: str = getattr(command, fields(command)[0].name)
    headers = command_headers(
        codec.names[type(command)],
        command_id,
        correlation=correlation,
        causation=causation,
        cause_ms=cause_ms,
        trace=trace,
    )
    return Outgoing(key.encode(), codec.encode(command), headers)
