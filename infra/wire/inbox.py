"""From a record in a commands topic to a command, or to the reason why it cannot be read."""

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from math import inf
from typing import Any, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from infra.errors import Unreadable
from infra.messages import MAX_ID, Discard, is_id
from infra.wire.avro import Codec
from infra.wire.cloudevents import json_object, opened
from infra.wire.digest import digest_of
from infra.wire.envelope import (
    CAUSE_TIME,
    CORRELATION,
    DIGEST,
    DUE_OF,
    EARLIER,
    ID,
    OUTCOME_OF,
    REACTION,
    TRACE,
    TYPE,
    CommandName,
    Reaction,
    Way,
    command_name,
    given_id,
    is_remembered,
    moved_from,
    reaction_places,
)
from infra.wire.inbound import id_by_place
from infra.wire.limits import MAX_BATCH_BYTES, MAX_COMMAND_BYTES
from infra.wire.murmur import partitions_of
from infra.wire.record import (
    UNREAD,
    Header,
    HeaderMap,
    Outgoing,
    Record,
    record_size,
    replaced,
    text,
    with_header,
)
from infra.wire.schemas import NAMESPACE
from infra.wire.sealing import Personal, personal, unsealed

# A cause's time comes with the command, so a producer could lie: it is believed as far as brokers' clocks may differ.
MAX_CLOCK_SKEW_MS = 60_000
MAX_CAUSE_SKEW_MS = 2 * MAX_CLOCK_SKEW_MS  # of one whose broker's clock was ahead, and of hosts whose clocks differ
FRAMED = b"\0"  # what Avro behind a schema id begins with
TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}[!-~]{0,200}")
DISCARD = f"{NAMESPACE}.{Discard.__name__}".encode()


@dataclass(slots=True)
class Command:
    """A command with what is known of it beside its payload."""

    type: bytes
    payload: Any
    correlation: bytes
    trace: bytes | None


@dataclass(slots=True)
class Posted:
    """A record of a commands topic: the command in it, or why it cannot be read, and what is known of it in either case.

    `id` is the producer's, or the record's place if it gave none that can be used; `identity` is what tells a command from
    others beside that: of a stranger's its DIGEST, of our own its REACTION, OUTCOME_OF or DUE_OF; `reaction` is where that
    stands: its source, and its place there; then where what it follows from was before. `key` is None if no aggregate can have it; `partition` is where its commands belong. `type` is what the header says, `at` is when it was asked, and `appended` when it came, as far as the
    broker is believed (ms).
    `may_name`: for all that anybody can tell it names a person in plain, so that nothing of what it says may stay.
    `name` is what it is called among those of its key.
    """

    record: Record
    at: int
    appended: int
    way: Way
    id: bytes
    identity: Header | None
    reaction: tuple[Reaction, ...]
    type: bytes | None
    key: bytes | None
    partition: int
    command: Command | Discard | Unreadable
    may_name: bool
    name: CommandName

    def forwarded(self) -> Outgoing:
        """The record as it came, by its id also where it goes."""
        headers = moved_from(self.record.headers, self.record.partition) if self.reaction else self.record.headers
        return Outgoing(self.record.key, self.record.value, with_header(headers, ID, self.id))

    @property
    def remembered_as(self) -> CommandName | None:
        return self.name if is_remembered(self.way, self.identity) else None


@dataclass(frozen=True, slots=True)
class CommandType:
    """A type of command: its name, the field that names its aggregate, and what in it names a person."""

    type: type
    name: bytes
    id_field: str
    personal: Personal | None


class CommandReader:
    """Reads what is posted to a context of so many partitions; `commands` are those it can be asked by each way."""

    def __init__(self, context: str, commands: Mapping[Way, Iterable[type]], partitions: int, codec: Codec) -> None:
        self._context = context
        self._partitions = partitions
        self._codec = codec
        self._allowed = {way: frozenset(types) for way, types in commands.items()}
        self._kinds = {t: _kind(t, codec) for types in commands.values() for t in types}
        self._by_name = {codec.names[t]: kind for t, kind in self._kinds.items()}
        self._about_persons = any(kind.personal for kind in self._kinds.values())
        self._asked = ", ".join(codec.names[t] for t in commands[Way.COMMANDS]) or "nothing"

    def read(self, records: Sequence[Record], way: Way, latest: float = inf) -> list[Posted]:
        """What was posted, in the order of the records; no time of a broker's that is later than `latest` (ms) is believed."""
        records = [record if (record.value or b"")[:1] == FRAMED else opened(record) for record in records]
        messages = self._codec.decode_many([record.value for record in records])
        keys = [aggregate_key(record.key) for record in records]
        places = partitions_of([key or b"" for key in keys], self._partitions)
        return [
            self._posted(record, way, message, key, place, latest)
            for record, message, key, place in zip(records, messages, keys, places, strict=True)
        ]

    def _posted(
        self, record: Record, way: Way, message: Any, key: bytes | None, partition: int, latest: float
    ) -> Posted:
        """`message` and `key` if there are such, and the partition of that key."""
        headers, came = dict(record.headers), record
        identity, at = given_id(headers), int(min(record.timestamp, latest))
        appended = at
        if identity is None:
            identity = id_by_place(record)
            record = _named(record, identity)
        type_ = headers.get(TYPE)
        reaction: tuple[Reaction, ...] = ()
        may_name = way is Way.COMMANDS or self._about_persons  # until it was read, and found sealed
        command: Command | Discard | Unreadable
        try:
            if why := headers.get(UNREAD):
                code, _, reason = why.decode().partition(" ")
                command = Unreadable(code, reason)
            elif type_ == DISCARD and key is not None:
                command = Discard(reason=_json_field(record.value or b"", "reason"))
            else:
                at = _asked_at(appended, headers)
                reaction = _reaction(headers) if way is Way.OWN else ()
                command = self._command(record, headers, identity, key, message)
                may_name = False
                if type(command.payload) not in self._allowed[way]:
                    command = self._not_yours(way, command)
        except Unreadable as error:
            command = error
            if way is Way.OWN and error.code == "unknown_schema":
                may_name = False  # our own producers seal, and newer ones wait for newer code
        except Exception as error:  # whatever else a stranger found: it stops nobody but himself
            command = Unreadable("unreadable", f"reading it failed with {type(error).__name__}")
        if key is not None and partition != record.partition and is_stranded(came):
            if not isinstance(command, Unreadable):
                command = Unreadable(
                    "too_large", f"its key is of partition {partition}, and it is too large to be sent on"
                )
            record, key = _keyless(record), None
        told_by = _digest(command) if way is Way.COMMANDS else _told_by(headers, reaction)
        partition = record.partition if key is None else partition
        name = command_name(way, identity)
        return Posted(
            record, at, appended, way, identity, told_by, reaction, type_, key, partition, command, may_name, name
        )

    def _not_yours(self, way: Way, command: Command) -> Unreadable:
        name = command.type.decode()
        if way is Way.OWN:
            return Unreadable(
                "not_yours", f"{name} is not what {self._context} asks itself: post it to its commands topic"
            )
        return Unreadable("not_yours", f"{name} is what {self._context} asks itself; it can be asked {self._asked}")

    def _command(self, record: Record, headers: HeaderMap, identity: bytes, key: bytes | None, message: Any) -> Command:
        """The command in a record, unless it is Unreadable; `message` if its value was decoded with others, else None."""
        value, subject = record.value or b"", _checked(record, headers, key)
        kind = self._kinds.get(type(message))
        if kind is None or headers.get(TYPE, kind.name if self._codec.is_shared else None) != kind.name:
            kind, message = self._decoded(value, text(headers.get(TYPE)), subject)
        if message.__dict__[kind.id_field] != subject:
            raise _mismatch(kind, message, subject)
        if kind.personal is not None:
            _check_sealed(kind.personal, message)
        correlation, trace = headers.get(CORRELATION) or identity, headers.get(TRACE)
        if len(correlation) > MAX_ID or text(correlation) is None:
            raise Unreadable("bad_header", f"{CORRELATION} has to be UTF-8 text of at most {MAX_ID} bytes")
        if trace is not None and not TRACEPARENT.fullmatch(trace):
            trace = None  # who asks without a trace is answered all the same (https://www.w3.org/TR/trace-context/#versioning)
        return Command(kind.name, message, correlation, trace)

    def _decoded(self, value: bytes, named: str | None, subject: str) -> tuple[CommandType, Any]:
        """The message in a value of any encoding; `named` is what its header says it is."""
        if value[:1] == FRAMED:
            return self._from_framed(value, named)
        content = json_object(value)
        if named is None:
            what = "neither framed Avro nor JSON" if content is None else "JSON"
            raise Unreadable(
                "no_type", f"the value is {what} and there is no header {TYPE}; set it to one of {self._asked}"
            )
        kind = self._kind_of(named)
        if content is None:
            return kind, self._from_avro(lambda: self._codec.decode_plain(named, value))
        try:
            return kind, self._from_json(kind, content, subject)
        except Unreadable:
            if content is value:
                raise
            with contextlib.suppress(ValueError):  # a length that looks like a blank, and a text that begins like JSON
                return kind, self._codec.decode_plain(named, value)
            raise

    def _from_framed(self, value: bytes, named: str | None) -> tuple[CommandType, Any]:
        name = self._codec.name_of(value)
        if name is None:
            raise Unreadable(
                "unknown_schema", f"the schema id {int.from_bytes(value[1:5])} is not in schemas/lock.json"
            )
        if named is None and not self._codec.is_shared:
            raise Unreadable(
                "no_type",
                f"a schema id says nothing without a header {TYPE}: without a registry anybody may mean anything by it",
            )
        if named is not None and named != name:
            raise Unreadable("type_mismatch", f"the header {TYPE} says {named!r} but the schema id says {name!r}")
        return self._kind_of(name), self._from_avro(lambda: self._codec.decode(value))

    def _from_avro(self, decode: Callable[[], Any]) -> Any:
        try:
            return decode()
        except ValueError as error:  # what it says follows from the bytes
            what = "it is not what its schema says" if self._about_persons else error
            raise Unreadable("not_avro", f"the value is not JSON, and as Avro: {what}") from error

    def _from_json(self, kind: CommandType, value: bytes, subject: str) -> Any:
        message = payload_from_json(kind.type, value, subject)
        try:
            self._codec.encode(message)  # JSON knows no sizes of numbers, what is stored does
        except (ValueError, TypeError, OverflowError) as error:
            raise Unreadable("wrong_fields", f"a value is out of range: {error}") from error
        return message

    def _kind_of(self, name: str) -> CommandType:
        if name not in self._by_name:
            raise Unreadable(
                "unknown_type", f"{name!r} is no command of {self._context}; it can be asked {self._asked}"
            )
        return self._by_name[name]


def _named(record: Record, identity: bytes) -> Record:
    """The same record with an id, by which it goes where it is kept."""
    return replaced(record, headers=with_header(record.headers, ID, identity))


def is_stranded(record: Record) -> bool:
    """Whether it could not be sent where it belongs as it is: no topic takes it, its id is none, or nobody can read it."""
    is_large = record_size(record.key, record.value, record.headers) + 2 * MAX_ID > MAX_BATCH_BYTES
    headers = dict(record.headers)
    return is_large or UNREAD in headers or (bool(headers.get(ID)) and given_id(headers) is None)


def _keyless(record: Record) -> Record:
    """What is answered where it lies is in nobody's way where its key belongs."""
    return replaced(record, key=None)


def _kind(t: type, codec: Codec) -> CommandType:
    name = codec.names[t]
    return CommandType(t, name.encode(), fields(t)[0].name, personal(codec.schemas[name]))


def _reaction(headers: HeaderMap) -> tuple[Reaction, ...]:
    """Where one of our own commands stands among the reactions of its source, if it is one."""
    try:
        return reaction_places(place, headers.get(EARLIER) or b"") if (place := headers.get(REACTION)) else ()
    except ValueError:
        raise Unreadable(
            "bad_header", f"{REACTION} has to be <topic id>/<partition>/<offset>/<number>, and {EARLIER} such places"
        ) from None


def _digest(command: Command | Discard | Unreadable) -> Header | None:
    """Of a command only: what cannot be read may name a person in plain, and who has its digest can try names."""
    return (DIGEST, digest_of(command.type, command.payload)) if isinstance(command, Command) else None


def _told_by(headers: HeaderMap, reaction: tuple[Reaction, ...]) -> Header | None:
    """What tells one of our own commands from others beside its id, if it can be understood."""
    if reaction:
        return REACTION, headers[REACTION] or b""
    return next(((name, value) for name in (OUTCOME_OF, DUE_OF) if (value := headers.get(name))), None)


def aggregate_key(key: bytes | None) -> bytes | None:
    """The key, if it can be an aggregate's id, whose commands have an order to be kept."""
    try:
        return key if key and is_id(key.decode()) else None
    except UnicodeDecodeError:
        return None


def _checked(record: Record, headers: HeaderMap, key: bytes | None) -> str:
    """The aggregate that is asked; Unreadable if no command has such a key, value or id, whatever it says."""
    if not record.value:
        raise Unreadable("empty", "the record has no value; post a command as JSON or Avro")
    if len(record.value) > MAX_COMMAND_BYTES:
        raise Unreadable("too_large", f"the value has {len(record.value)} bytes, the limit is {MAX_COMMAND_BYTES}")
    if not record.key:
        raise Unreadable("no_key", "the record has no key; the key is the id of the aggregate that is asked")
    if key is None:
        raise Unreadable("bad_key", f"the key has to be UTF-8 text of at most {MAX_ID} characters without NUL")
    if headers.get(ID) and given_id(headers) is None:
        raise Unreadable("bad_id", f"a command id ({ID}) is UTF-8 text of at most {MAX_ID} bytes")
    if headers.get(TYPE) and text(headers[TYPE]) is None:
        raise Unreadable("bad_header", f"{TYPE} has to be UTF-8 text")
    return key.decode()


def _mismatch(kind: CommandType, message: Any, subject: str) -> Unreadable:
    said = getattr(message, kind.id_field)
    return Unreadable("key_mismatch", f"the key is {subject!r} but {kind.id_field} is {said!r}")


def _check_sealed(spec: Personal, message: Any) -> None:
    if plain := unsealed(spec, message):
        raise Unreadable(
            "not_sealed",
            f"{', '.join(plain)} names a person and has to be sealed: post it with `weft send`, or seal it with the vault",
        )


def _asked_at(at: int, headers: HeaderMap) -> int:
    """The time of a command that was appended then, which is not before its cause's as far as that can be believed."""
    cause = headers.get(CAUSE_TIME)
    try:
        return max(at, min(int(cause), at + MAX_CAUSE_SKEW_MS)) if cause else at
    except ValueError:
        raise Unreadable("bad_header", f"{CAUSE_TIME} has to be a number of milliseconds") from None


def _json_field(value: bytes, name: str) -> str:
    """One text of a JSON object; empty if it is not there, or if it is nested so deeply that nobody can say."""
    try:
        content = json.loads(value)[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return content if isinstance(content, str) else ""


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
    problems = error.errors(include_input=False)
    reason = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the value'}: {e['msg']}" for e in problems[:5])
    return Unreadable("not_json" if any(e["type"] == "json_invalid" for e in problems) else "wrong_fields", reason)


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
