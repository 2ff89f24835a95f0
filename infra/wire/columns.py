"""Avro by the column: a batch of messages of one type is coded at once, through Arrow, at a quarter of the cost of one by one.

A shortcut and never the truth: whatever is not plain sailing (few messages, other schemas, values that do not fit or that
would not be written the same way again) is left to the row path, fastavro, which decides. tests/infra/test_columns.py
holds the two against each other.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import pairwise
from typing import Any, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyruhvro

from infra.errors import Unusable

FEW = 16  # below this many the overhead of a batch is not worth it

SEAL = secrets.token_hex(8)
SEALED = bytes([2 * len(SEAL)]) + SEAL.encode()

SCALARS: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), bool: pa.bool_(), float: pa.float64()}


class Columns:
    """Codes batches of one message type in its current schema."""

    def __init__(self, t: type, schema: Any) -> None:
        self._type = t
        self._schema = json.dumps(schema)
        # pyruhvro does not say whether bytes are left over behind a record. So each is read with one more field, a seal that
        # we put behind it: what stands in between is read in the seal's place, and nobody outside can know the seal.
        self._sealed = json.dumps({**schema, "fields": [*schema["fields"], {"name": "seal_", "type": "string"}]})
        self._fields = _columns(t)

    def encode(self, messages: Sequence[Any]) -> list[bytes] | None:
        """Plain Avro of each message, or None if the row path has to do it."""
        try:
            rows = [message.__dict__ for message in messages]
            arrays = [make([row[name] for row in rows]) for name, make, _ in self._fields]
            batch = pa.RecordBatch.from_arrays(arrays, [name for name, _, _ in self._fields])
            chunks = pyruhvro.serialize_record_batch(batch, self._schema, 1)
            return [value for chunk in chunks for value in chunk.to_pylist()]
        except BaseException as error:
            _left_to_rows(error)
            return None

    def decode(self, values: Sequence[bytes]) -> list[Any] | None:
        """The message in each value of plain Avro, or None if the row path has to do it."""
        try:
            batch = pyruhvro.deserialize_array([value + SEALED for value in values], self._sealed)
            if _strings(batch.column(len(self._fields))) != [SEAL] * len(values):
                return None
            contents = [read(batch.column(i)) for i, (_, _, read) in enumerate(self._fields)]
        except BaseException as error:
            _left_to_rows(error)
            return None
        return _messages(self._type, [name for name, _, _ in self._fields], contents)


def columns(t: type, schema: Any) -> Columns | None:
    """The columns of a type, or None for one that has other fields than scalars and lists of scalars or of flat records."""
    try:
        return Columns(t, schema)
    except Unusable:
        return None


def _strings(array: pa.Array) -> list[str]:
    """Strings straight from Arrow's buffers, without a Scalar in between for each."""
    _, places, content = array.buffers()
    offsets = memoryview(places).cast("i")[array.offset : array.offset + len(array) + 1].tolist()
    data = bytes(content) if content else b""
    text = data.decode()
    if len(text) == len(data):  # one byte a character: places in the bytes are places in the text
        return [text[start:end] for start, end in pairwise(offsets)]
    return [data[start:end].decode() for start, end in pairwise(offsets)]


def _integers(array: pa.Array) -> list[int]:
    return memoryview(array.buffers()[1]).cast("q")[array.offset : array.offset + len(array)].tolist()


READERS: dict[Any, Callable[[pa.Array], list[Any]]] = {str: _strings, int: _integers}

Make = Callable[[list[Any]], pa.Array]
Take = Callable[[pa.Array], Sequence[Any]]


def _columns(t: type) -> list[tuple[str, Make, Take]]:
    hints = get_type_hints(t)
    return [(field.name, *_column(hints[field.name])) for field in fields(t)]


def _column(hint: Any) -> tuple[Make, Take]:
    if hint in SCALARS:
        kind = SCALARS[hint]
        return (lambda values: pa.array(values, kind)), READERS.get(hint, lambda array: array.to_pylist())
    if get_origin(hint) is tuple:
        return _list_column(get_args(hint)[0])
    raise Unusable(f"{hint} has no columns")


def _list_column(item: Any) -> tuple[Make, Take]:
    inner = _columns(item) if is_dataclass(item) and isinstance(item, type) else None
    make_item, take_item = _column(item) if inner is None else (_records(inner), _record_reader(item, inner))

    def make(values: list[Any]) -> pa.Array:
        offsets, flat = [0], []
        for value in values:
            flat.extend(value)
            offsets.append(len(flat))
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), make_item(flat))

    def take(array: pa.Array) -> Sequence[Any]:
        items, offsets = take_item(array.values), array.offsets.to_pylist()
        return [tuple(items[start:end]) for start, end in pairwise(offsets)]

    return make, take


def _records(inner: list[tuple[str, Make, Take]]) -> Make:
    def make(values: list[Any]) -> pa.Array:
        rows = [value.__dict__ for value in values]
        return pa.StructArray.from_arrays(
            [build([row[name] for row in rows]) for name, build, _ in inner], [name for name, _, _ in inner]
        )

    return make


def _record_reader(t: type, inner: list[tuple[str, Make, Take]]) -> Take:
    names = [name for name, _, _ in inner]
    return lambda array: _messages(t, names, [take(array.field(i)) for i, (_, _, take) in enumerate(inner)])


def _messages(t: type, names: list[str], values: Iterable[Sequence[Any]]) -> list[Any]:
    return list(map(constructor(t, tuple(names)), *values))


@cache
def constructor(t: type, names: tuple[str, ...]) -> Callable[..., Any]:
    """A function of the fields' values that makes a message; written out per type, as dataclasses does its own."""
    values = [f"value_{place}" for place in range(len(names))]  # a field may be called as anything in here
    content = ", ".join(f"{name!r}: {value}" for name, value in zip(names, values, strict=True))
    source = f"def make({', '.join(values)}):\n    message = new(t)\n    assign(message, '__dict__', {{{content}}})\n    return message"
    scope: dict[str, Any] = {"t": t, "new": t.__new__, "assign": object.__setattr__}
    exec(source, scope)  # noqa: S102 (the names are those of a dataclass's fields)
    make: Callable[..., Any] = scope["make"]
    return make


def _left_to_rows(error: BaseException) -> None:
    """pyruhvro answers with exceptions of Arrow, of Python, and with panics, which are BaseExceptions."""
    if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
        raise error
