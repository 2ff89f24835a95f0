"""CloudEvents as a Kafka record has them: in binary mode, attributes as headers, or in structured mode, all in one JSON object.

Which of the two it is `content-type` says. A record in structured mode is turned into what it would be in binary mode, once,
where it is read; what looks at it later knows one mode.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
"""

import base64
import json
import re
from typing import Any

from infra.errors import Unreadable
from infra.wire.envelope import CONTENT_TYPE, TRACE
from infra.wire.limits import MAX_COMMAND_BYTES
from infra.wire.record import UNREAD, Headers, Read, Record, replaced

STRUCTURED = b"application/cloudevents"
JSON = b"application/cloudevents+json"
BLANK = b" \t\r\n"
BOM = b"\xef\xbb\xbf"

_ATTRIBUTE = re.compile(r"[a-z0-9]{1,40}")
_CONTENT = {"data", "data_base64", "datacontenttype"}


def is_structured(record: Record) -> bool:
    """Whether a record says that its value is the whole event."""
    return any(name.lower() == CONTENT_TYPE and _media(value).startswith(STRUCTURED) for name, value in record.headers)


def json_object(value: bytes) -> bytes | None:
    """The value without what editors put in front of JSON; None if no object begins there."""
    text = value.removeprefix(BOM).lstrip(BLANK)
    return text if text[:1] == b"{" else None


def opened(record: Record) -> Record:
    """Any record in binary mode; UNREAD, and otherwise as it came, if it says it is in structured mode and is not."""
    if not is_structured(record):
        return record
    try:
        return _in_binary_mode(record)
    except Unreadable as error:
        said = f"{error.code} {error.reason}".encode()
        return replaced(record, headers=[*record.headers, (UNREAD, said)])


def _in_binary_mode(record: Record) -> Read:
    """Of one in structured mode; its subject is the key if it has none."""
    media = next(_media(value) for name, value in record.headers if name.lower() == CONTENT_TYPE)
    if media != JSON:
        raise Unreadable(
            "not_cloudevent", f"of CloudEvents in structured mode only {JSON.decode()} is read, not {shown(media)}"
        )
    value = record.value or b""
    if len(value) > MAX_COMMAND_BYTES:
        raise Unreadable("too_large", f"the value has {len(value)} bytes, the limit is {MAX_COMMAND_BYTES}")
    event = _event(value)
    attributes = {name: _text(name, said) for name, said in event.items() if name not in _CONTENT and said is not None}
    others = [(name, said) for name, said in record.headers if name.lower() != CONTENT_TYPE]
    headers: Headers = [*others, *((_header(name), said) for name, said in attributes.items())]
    key = record.key or attributes.get("subject") or None
    return replaced(record, key=key, value=_data(event), headers=headers)


def shown(media: bytes) -> str:
    return repr(media[:80].decode(errors="replace"))


def _media(value: bytes | None) -> bytes:
    """A media type without its parameters."""
    return (value or b"").partition(b";")[0].strip().lower()


def _event(value: bytes) -> dict[str, Any]:
    try:
        event = json.loads((json_object(value) or value).decode())
    except (ValueError, RecursionError) as error:
        raise Unreadable(
            "not_cloudevent", f"the value is not the JSON of a CloudEvent: {type(error).__name__}"
        ) from None
    if not isinstance(event, dict) or not str(event.get("specversion", "")).startswith("1."):
        raise Unreadable("not_cloudevent", "the value is no JSON object whose specversion is 1.0")
    return event


def _text(name: str, said: Any) -> bytes:
    """An attribute as a header has it."""
    try:
        if _ATTRIBUTE.fullmatch(name) and isinstance(said, str | int):
            return (str(said).lower() if isinstance(said, bool) else str(said)).encode()
    except ValueError:  # half a surrogate pair, or a number of thousands of digits
        pass
    raise Unreadable(
        "not_cloudevent", "an attribute has to have a name of a-z and 0-9, and be a text, a whole number, true or false"
    )


def _header(name: str) -> str:
    return TRACE if name == TRACE else f"ce_{name}"


def _data(event: dict[str, Any]) -> bytes | None:
    if "data_base64" in event:
        try:
            return base64.b64decode(event["data_base64"], validate=True)
        except (ValueError, TypeError):
            raise Unreadable("not_cloudevent", "data_base64 is not base64") from None
    if event.get("data") is None:
        return None
    return json.dumps(event["data"]).encode()
