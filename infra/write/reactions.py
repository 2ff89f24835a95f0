"""From other contexts' events to commands for one's own: the whole choreography. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from infra.model.context import Context
from infra.wire.avro import Codec
from infra.wire.envelope import NO_CAUSE, TYPE, Cause, accepted, cause_of, command_headers
from infra.wire.record import Outgoing, Record, place_of, unreadable


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
            raise unreadable(place_of(record), error) from error
        cause = cause_of(record, headers)
        for number, command in enumerate(context.react(event)):
            yield outgoing_command(codec, command, f"{cause.event_id}/{context.name}/{number}", cause)


def outgoing_command(codec: Codec, command: Any, command_id: str, cause: Cause = NO_CAUSE) -> Outgoing:
    """A command as a record; its key is its first field."""
    key: str = getattr(command, fields(command)[0].name)
    return Outgoing(key.encode(), codec.encode(command), command_headers(codec.names[type(command)], command_id, cause))
