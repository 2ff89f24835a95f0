"""From other contexts' events to commands for one's own: the whole choreography. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from infra.model.context import Context
from infra.wire.avro import Codec
from infra.wire.envelope import EARLIER, NO_CAUSE, REACTION, TYPE, Cause, accepted, cause_of, command_headers
from infra.wire.record import Header, Outgoing, Record, place_of, unreadable


def commands_from(context: Context, codec: Codec, records: Iterable[Record], topic_id: str) -> Iterator[Outgoing]:
    """What `context` asks itself because of accepted events of the topic of this id. OfNewerCode if there is one that this code
    does not know: newer code may react to it.

    Each reaction has a place of its own, in the order of the events: whoever is asked again knows it. To an event that was
    copied into a grown topic it has also those before, by which they know it who heard the event there.
    """
    assert context.react is not None
    heard = {codec.names[event].encode() for event in context.hears}
    for record in records:
        headers = dict(record.headers)
        value = record.value or b""
        is_passed_over = headers.get(TYPE) not in heard and value[:5] in codec.known
        if is_passed_over or not accepted(headers, record.offset):
            continue
        try:
            event = codec.decode(value)
        except ValueError as error:
            raise unreadable(place_of(record), error) from error
        cause, earlier = cause_of(record, headers), headers.get(EARLIER)
        before = [(EARLIER, earlier)] if earlier else []
        for number, command in enumerate(context.react(event)):
            place = f"{topic_id}/{record.partition}/{record.offset}/{number}".encode()
            command_id = f"{cause.event_id}/{context.name}/{number}"
            yield outgoing_command(codec, command, command_id, cause, (REACTION, place), *before)


def outgoing_command(
    codec: Codec, command: Any, command_id: str, cause: Cause = NO_CAUSE, *identity: Header
) -> Outgoing:
    """A command as a record; its key is its first field."""
    key: str = getattr(command, fields(command)[0].name)
    headers = command_headers(codec.names[type(command)], command_id, cause, *identity)
    return Outgoing(key.encode(), codec.encode(command), headers)
