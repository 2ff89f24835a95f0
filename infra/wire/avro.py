"""Messages and bytes: Avro in Confluent framing (`00`, 4-byte schema id, Avro), ids from the committed locks.

`schemas/<context>/*.avsc` is the truth of what is stored, the dataclasses mirror it. A frozen dataclass without slots
keeps its fields in `__dict__`, which is the very mapping fastavro reads and makes: a message is coded without a copy.
"""

import io
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import fastavro
from fastavro.types import Schema

from infra.errors import Unusable
from infra.messages import LOG_KEEPING, RUNTIME, Discard
from infra.wire.columns import FEW, columns
from infra.wire.record import UnknownSchema
from infra.wire.schemas import NAMESPACE, Locked, Schemas, first_id, spelled_out, untagged

RUNTIME_TYPES: dict[str, type] = {f"{NAMESPACE}.{t.__name__}": t for t in (*RUNTIME, *LOG_KEEPING, Discard)}
_FRAME = struct.Struct(">bI")

_K = TypeVar("_K")


class Codec:
    """Encodes and decodes the messages of one mesh. `types` maps `<context>.<Type>` to dataclasses.

    `locked` are the ids there are, those of the locks by default; `known` is what values begin with that were written under one. `upcasts` maps the id of a schema that today's types
    cannot read to a function from its record to today's message. `is_shared`: whether everybody means the same by an id,
    since it is a registry's.
    """

    def __init__(
        self,
        types: Mapping[str, type],
        schemas: Schemas,
        locked: Mapping[int, Locked] | None = None,
        upcasts: Mapping[int, Callable[[dict[str, Any]], Any]] | None = None,
        *,
        is_shared: bool = False,
    ) -> None:
        self.few = FEW
        self.is_shared = is_shared
        locked = schemas.locked() if locked is None else locked
        self.known = frozenset(_FRAME.pack(0, number) for number in locked)
        self.types = dict(types) | RUNTIME_TYPES
        self.names = {t: name for name, t in self.types.items()}
        current = {name: schemas.current(name) for name in self.types}
        self.schemas = {name: spelled_out(schema) for name, schema in current.items()}
        plain = {name: untagged(schema) for name, schema in current.items()}
        self._encoders: dict[type, tuple[bytes, Schema, Callable[[Any], Mapping[str, Any]]]] = {}
        self._decoders: dict[bytes, tuple[str, Schema, Schema | None, Callable[[dict[str, Any]], Any]]] = {}
        self._current: dict[bytes, type] = {}
        readers: dict[str, Schema] = {}
        for name, t in self.types.items():
            number = first_id(locked, name, current[name])
            if number is None:
                raise Unusable(
                    f"{schemas.file(name)} is locked nowhere as it is now: run `weft schemas lock` and commit the lock, or with SCHEMA_REGISTRY_URL `weft setup`"
                )
            readers[name] = fastavro.parse_schema(current[name])
            self._encoders[t] = (_FRAME.pack(0, number), readers[name], _unmaker(t))
        coders = {t: columns(t, current[name]) for name, t in self.types.items()}
        self._columns = {t: coder for t, coder in coders.items() if coder is not None}
        for number, entry in locked.items():
            prefix = _FRAME.pack(0, number)
            if upcasts and number in upcasts:
                writer = fastavro.parse_schema(entry.schema)
                self._decoders[prefix] = (entry.name, writer, None, upcasts[number])
            elif entry.name in self.types:
                writer, t = fastavro.parse_schema(entry.schema), self.types[entry.name]
                is_current = untagged(entry.schema) == plain[entry.name]
                self._decoders[prefix] = (entry.name, writer, None if is_current else readers[entry.name], _maker(t))
                if is_current:
                    self._current[prefix] = t

    def by_column_from(self, few: int) -> "Codec":
        """The same, that codes batches of so many by the column."""
        made = copy(self)
        made.few = few
        return made

    def prefix_of(self, t: type) -> bytes:
        """The five bytes that every value of this type begins with, as its schema is now."""
        return self._encoders[t][0]

    def schema_id(self, t: type) -> int:
        """The id of this type's current schema."""
        return int.from_bytes(self.prefix_of(t)[1:])

    def prefixes(self, names: Iterable[str]) -> frozenset[bytes]:
        """What the values of these types begin with, in every schema they were ever written in."""
        wanted = set(names)
        return frozenset(prefix for prefix, (name, *_) in self._decoders.items() if name in wanted)

    def encode(self, message: Any) -> bytes:
        """Framed Avro; ValueError, TypeError or OverflowError if a field does not fit its schema."""
        prefix, schema, unmake = self._encoders[type(message)]
        out = io.BytesIO(prefix)
        out.seek(5)
        fastavro.schemaless_writer(out, schema, unmake(message))
        return out.getvalue()

    def encode_many(self, messages: Sequence[Any]) -> list[bytes]:
        """The same bytes as `encode` for each; those of one type are coded together."""
        values: list[bytes] = [b""] * len(messages)
        for t, places in _groups(map(type, messages)).items():
            prefix = self._encoders[t][0]
            many = (
                self._columns[t].encode([messages[i] for i in places])
                if len(places) >= self.few and t in self._columns
                else None
            )
            for n, i in enumerate(places):
                values[i] = prefix + many[n] if many else self.encode(messages[i])
        return values

    def decode_many(self, values: Sequence[bytes | None]) -> list[Any | None]:
        """The message in each framed value of a current schema; None where `decode` has to be asked, and may raise."""
        messages: list[Any | None] = [None] * len(values)
        for prefix, places in _groups(value[:5] if value else b"" for value in values).items():
            t = self._current.get(prefix)
            if t in self._columns and len(places) >= self.few:
                many = self._columns[t].decode([(values[i] or b"")[5:] for i in places])
                for n, i in enumerate(places if many else ()):
                    messages[i] = many[n] if many else None
        return messages

    def name_of(self, value: bytes) -> str | None:
        """The type a framed value says it is; None if the id is unknown."""
        decoder = self._decoders.get(value[:5])
        return decoder[0] if decoder else None

    def decode(self, value: bytes) -> Any:
        """The message in a framed value; ValueError if it is not exactly one message, UnknownSchema if its schema is locked nowhere."""
        decoder = self._decoders.get(value[:5])
        if decoder is None and value[:1] == b"\0" and len(value) >= _FRAME.size and value[:5] not in self.known:
            raise UnknownSchema(f"the schema id {int.from_bytes(value[1:5])} is locked nowhere")
        if decoder is None:
            raise ValueError(
                f"it does not begin with 00 and the 4-byte id of a locked schema but with {value[:5].hex()}"
            )
        _, writer, reader, make = decoder
        return make(_read(value, _FRAME.size, writer, reader))

    def decode_plain(self, name: str, value: bytes) -> Any:
        """The message in plain Avro of the current schema of `name`; ValueError if it is not exactly one."""
        t = self.types[name]
        return _maker(t)(_read(value, 0, self._encoders[t][1], None))


def _read(value: bytes, start: int, writer: Schema, reader: Schema | None) -> dict[str, Any]:
    stream = io.BytesIO(value)
    stream.seek(start)
    try:
        record = fastavro.schemaless_reader(stream, writer, reader)
    except Exception as error:  # fastavro raises whatever the bytes lead it to
        raise ValueError(f"not the Avro its schema says: {error or type(error).__name__}") from error
    if stream.tell() != len(value):
        raise ValueError(f"{len(value) - stream.tell()} bytes are left over after the record")
    return record  # type: ignore[return-value]


def _groups(keys: Iterable[_K]) -> dict[_K, list[int]]:
    """The positions of equal keys."""
    positions: dict[_K, list[int]] = {}
    for i, key in enumerate(keys):
        positions.setdefault(key, []).append(i)
    return positions


@cache
def _maker(t: type) -> Callable[[dict[str, Any]], Any]:
    """Makes a message of `t` from the mapping fastavro read, which becomes its `__dict__`."""
    nested = _nested(t)
    new: Any = t.__new__
    assign = object.__setattr__

    def make(values: dict[str, Any]) -> Any:
        for name, item, many in nested:
            values[name] = tuple([item(v) for v in values[name]]) if many else item(values[name])
        message = new(t)
        assign(message, "__dict__", values)
        return message

    return make


@cache
def _unmaker(t: type) -> Callable[[Any], Mapping[str, Any]]:
    """The mapping fastavro writes for a message of `t`."""
    nested = [
        (field.name, _unmaker(_item(hint)), get_origin(hint) is tuple)
        for field, hint in _fields(t)
        if is_dataclass(_item(hint))
    ]
    if not nested:
        return vars

    def unmake(message: Any) -> Mapping[str, Any]:
        values = dict(message.__dict__)
        for name, item, many in nested:
            values[name] = [item(v) for v in values[name]] if many else item(values[name])
        return values

    return unmake


def _fields(t: type) -> list[tuple[Any, Any]]:
    hints = get_type_hints(t)
    return [(field, hints[field.name]) for field in fields(t)]


def _item(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is tuple else hint


def _is_nested(hint: Any) -> bool:
    return get_origin(hint) is tuple or is_dataclass(hint)


def _nested(t: type) -> list[tuple[str, Callable[[Any], Any], bool]]:
    nested: list[tuple[str, Callable[[Any], Any], bool]] = []
    for field, hint in _fields(t):
        if _is_nested(hint):
            item = _item(hint)
            nested.append(
                (
                    field.name,
                    _maker(item) if isinstance(item, type) and is_dataclass(item) else _same,
                    get_origin(hint) is tuple,
                )
            )
    return nested


def _same(value: Any) -> Any:
    return value
