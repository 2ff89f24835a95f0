"""From a record in a commands topic to a command, or to the reason why it cannot be read."""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from infra.errors import Unreadable
from infra.messages import MAX_ID, is_id
from infra.model.context import Context
from infra.wire.avro import Codec
from infra.wire.envelope import CAUSE_TIME, CORRELATION, ID, TRACE, TYPE
from infra.wire.record import MAX_COMMAND_BYTES, Record, place_of, text
from infra.wire.sealing import personal, unsealed

# A cause's time comes with the command, so a producer could lie: it is believed as far as brokers' clocks may differ.
MAX_CLOCK_SKEW_MS = 60_000


@dataclass(slots=True)
class Command:
    """A command with what is known of it beside its payload. `at` and `cause_at` are in milliseconds."""

    id: bytes
    key: bytes
    type: bytes
    payload: Any
    offset: int
    at: int
    correlation: bytes
    trace: bytes | None


def command_id(record: Record, headers: dict[str, bytes | None]) -> bytes:
    """The producer's id, or the record's own place in the log if it gave none that can be used."""
    given = headers.get(ID)
    return given if given and len(given) <= MAX_ID else place_of(record).encode()


Reader = Callable[[Record, dict[str, bytes | None], Any], Command]


def reader(context: Context, codec: Codec) -> Reader:
    """A function that reads the commands of one context; it raises Unreadable.

    It takes a record, its headers, and its message if that was decoded with others already, else None.
    """
    types = {codec.names[t]: t for t in context.commands}
    id_fields = {t: fields(t)[0].name for t in context.commands}
    type_bytes = {name: name.encode() for name in types}
    known = {t: type_bytes[name] for name, t in types.items()}
    asked = ", ".join(types)
    personal_fields = {t: personal(codec.schemas[name]) for name, t in types.items()}

    def read(record: Record, headers: dict[str, bytes | None], ready: Any) -> Command:
        value, key = record.value, record.key
        if not value:
            raise Unreadable("empty", "the record has no value; post a command as JSON or Avro")
        if len(value) > MAX_COMMAND_BYTES:
            raise Unreadable("too_large", f"the value has {len(value)} bytes, the limit is {MAX_COMMAND_BYTES}")
        if not key:
            raise Unreadable("no_key", "the record has no key; the key is the id of the aggregate that is asked")
        subject = text(key)
        if subject is None or not is_id(subject):
            raise Unreadable("bad_key", f"the key has to be UTF-8 text of at most {MAX_ID} characters without NUL")
        given = headers.get(ID)
        if given and len(given) > MAX_ID:
            raise Unreadable("bad_id", f"a command id ({ID}) has at most {MAX_ID} bytes")
        named = headers.get(TYPE)
        kind, payload = known.get(type(ready)), ready
        if kind is None or (named is not None and named != kind):
            name, payload = payload_of(value, text(named), subject)
            kind = type_bytes[name]
        if payload.__dict__[id_fields[type(payload)]] != subject:
            raise Unreadable(
                "key_mismatch",
                f"the key is {subject!r} but {id_fields[type(payload)]} is {getattr(payload, id_fields[type(payload)])!r}",
            )
        spec = personal_fields[type(payload)]
        if spec is not None and (plain := unsealed(spec, payload)):
            raise Unreadable(
                "not_sealed",
                f"{', '.join(plain)} names a person and has to be sealed: post it with `weft send`, or seal it with the vault",
                personal=True,
            )
        identity = given or command_id(record, headers)
        at = record.timestamp
        if cause := headers.get(CAUSE_TIME):
            try:
                at = max(at, min(int(cause), at + MAX_CLOCK_SKEW_MS))
            except ValueError:
                raise Unreadable("bad_header", f"{CAUSE_TIME} has to be a number of milliseconds") from None
        correlation = headers.get(CORRELATION) or identity
        trace = headers.get(TRACE)
        if len(correlation) > MAX_ID or (trace and len(trace) > MAX_ID):
            raise Unreadable("bad_header", f"{CORRELATION} and {TRACE} have at most {MAX_ID} bytes")
        return Command(identity, key, kind, payload, record.offset, at, correlation, trace)

    def payload_of(value: bytes, named: str | None, subject: str) -> tuple[str, Any]:
        if value[0] == 0:
            name = codec.name_of(value)
            if name is None:
                raise Unreadable(
                    "unknown_schema", f"the schema id {int.from_bytes(value[1:5])} is not in schemas/lock.json"
                )
            if named is not None and named != name:
                raise Unreadable("type_mismatch", f"the header {TYPE} says {named!r} but the schema id says {name!r}")
            check_type(name)
            return name, decoded(lambda: codec.decode(value))
        if named is None:
            kind = "JSON" if value[:1] == b"{" else "neither framed Avro nor JSON"
            raise Unreadable("no_type", f"the value is {kind} and there is no header {TYPE}; set it to one of {asked}")
        check_type(named)
        if value[:1] == b"{":
            return named, from_json(named, value, subject)
        return named, decoded(lambda: codec.decode_plain(named, value))

    def check_type(name: str) -> None:
        if name not in types:
            raise Unreadable("unknown_type", f"{name!r} is no command of {context.name}; it can be asked {asked}")

    def decoded(decode: Callable[[], Any]) -> Any:
        try:
            return decode()
        except ValueError as error:
            raise Unreadable("not_avro", f"the value is not JSON, and as Avro: {error}") from error

    def from_json(name: str, value: bytes, subject: str) -> Any:
        payload = payload_from_json(types[name], value, subject)
        try:
            codec.encode(payload)  # JSON knows no sizes of numbers, what is stored does
        except (ValueError, TypeError, OverflowError) as error:
            raise Unreadable("wrong_fields", f"a value is out of range: {error}") from error
        return payload

    return read


def json_field(value: bytes, name: str) -> str:
    """One text of a JSON object; empty if it is not there."""
    try:
        found = json.loads(value)[name]
    except (ValueError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) else ""


def payload_from_json(t: type, value: bytes, subject: str | None) -> Any:
    """A command from JSON, strictly; who gave the aggregate's id as the key need not repeat it. Raises Unreadable."""
    id_field = fields(t)[0].name
    adapter = _strict(t)
    try:
        return adapter.validate_json(value)
    except ValidationError as error:
        if subject is None or not any(e["type"] == "missing" and e["loc"] == (id_field,) for e in error.errors()):
            raise _wrong(error) from error
    try:
        return adapter.validate_json(json.dumps({id_field: subject, **json.loads(value)}))
    except ValidationError as error:
        raise _wrong(error) from error


def _wrong(error: ValidationError) -> Unreadable:
    found = "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'the value'}: {e['msg']}" for e in error.errors(include_input=False)[:5]
    )
    return Unreadable(
        "wrong_fields" if "json_invalid" not in {e["type"] for e in error.errors()} else "not_json", found
    )


@cache
def _strict(t: type) -> TypeAdapter[Any]:
    _forbid_unknown(t)
    return TypeAdapter(t)


def _forbid_unknown(t: type) -> None:
    """Strangers' input: no field we do not know, no number in quotes."""
    t.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[attr-defined]
    for hint in get_type_hints(t).values():
        for part in (hint, *get_args(hint)):
            if is_dataclass(part) and isinstance(part, type):
                _forbid_unknown(part)
