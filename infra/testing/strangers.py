"""What anybody who may write to a topic of commands may write there, and no context can be asked: one table for all tests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from infra.messages import MAX_ID
from infra.wire.envelope import CONTENT_TYPE, CORRELATION, ID, TYPE
from infra.wire.limits import MAX_BATCH_BYTES, MAX_COMMAND_BYTES, MAX_DEAD_BYTES, MAX_HEADERS
from infra.wire.record import BAD_NAME, TOO_MUCH, UNREAD, Header, Outgoing, Read

TOO_LARGE = b"{" + b" " * MAX_COMMAND_BYTES + b"}"
UNPACKED = b" " * MAX_DEAD_BYTES  # what a batch may unpack to, and no topic holds
FULL = b" " * (MAX_BATCH_BYTES - 100)  # with its headers as much as a topic takes, and no more of them
MANY = tuple((f"h{number}", b"") for number in range(MAX_HEADERS))
STRUCTURED = (CONTENT_TYPE, b"application/cloudevents+json")


@dataclass(frozen=True)
class Model:
    """A command that others ask: its key, its value in framed Avro, and its type."""

    key: bytes | None
    value: bytes
    type: bytes

    @classmethod
    def of(cls, asked: Read) -> "Model":
        return cls(asked.key, asked.value or b"", dict(asked.headers).get(TYPE) or b"none")


@dataclass(frozen=True)
class Hostile:
    """`made` of a model is a record, given the headers with an id and the model's type; `code` is the answer's.

    `is_on_the_wire`: whether a producer can write it as it is; else it is what a client makes of what nobody can read.
    """

    code: str
    made: Callable[[Model, list[Header]], Outgoing]
    is_on_the_wire: bool = True


def _said(value: bytes | None, *more: Header) -> Callable[[Model, list[Header]], Outgoing]:
    """This value, whatever the model says, and more headers."""
    return lambda model, headers: Outgoing(model.key, value, [*headers, *more])


def _with(*more: Header) -> Callable[[Model, list[Header]], Outgoing]:
    """What the model says, and more headers, the last of which count."""
    return lambda model, headers: Outgoing(model.key, model.value, [*headers, *more])


def _under(key: bytes | None) -> Callable[[Model, list[Header]], Outgoing]:
    return lambda model, headers: Outgoing(key, model.value, headers)


TABLE: Mapping[str, Hostile] = {
    "nothing": Hostile("empty", _said(None)),
    "no text": Hostile("not_avro", _said(b"\xff\xfe")),
    "cut Avro": Hostile("not_avro", lambda m, headers: Outgoing(m.key, m.value[:-1], headers)),
    "more than Avro": Hostile("not_avro", lambda m, headers: Outgoing(m.key, m.value + b"\0", headers)),
    "a count of billions": Hostile("not_avro", _said(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01")),
    "an unknown schema": Hostile(
        "unknown_schema", lambda m, headers: Outgoing(m.key, b"\0\xff\xff\xff\xff" + m.value, headers)
    ),
    "a schema id and no type": Hostile(
        "no_type", lambda m, headers: Outgoing(m.key, m.value, [h for h in headers if h[0] != TYPE])
    ),
    "a type of nobody": Hostile("unknown_type", _said(b"{}", (TYPE, b"of.Nobody"))),
    "another type": Hostile("type_mismatch", _with((TYPE, b"of.Nobody"))),
    "a type that is no text": Hostile("bad_header", _with((TYPE, b"\xff"))),
    "half of JSON": Hostile("not_json", _said(b"{")),
    "JSON behind blanks": Hostile("not_json", _said(b"\xef\xbb\xbf \n{")),
    "JSON of another shape": Hostile("wrong_fields", _said(b'{"surprise": "many"}')),
    "deep JSON": Hostile("not_json", _said(b'{"a":' * 40_000)),
    "JSON with half a pair of surrogates": Hostile("not_json", _said(b'{"a": "\\ud800"}')),
    "JSON and no type": Hostile("no_type", lambda m, _: Outgoing(m.key, b"{}", [])),
    "half of a CloudEvent": Hostile("not_cloudevent", _said(b'{"specversion": "1.0"', STRUCTURED)),
    "a CloudEvent of before": Hostile("not_cloudevent", _said(b'{"specversion": "0.1"}', STRUCTURED)),
    "too much JSON": Hostile("too_large", _said(TOO_LARGE)),
    "more than a letter holds": Hostile("too_large", _said(UNPACKED, *MANY), is_on_the_wire=False),
    "as much as a topic takes": Hostile("too_large", _said(FULL)),
    "another key": Hostile("key_mismatch", _under(b"another")),
    "no key": Hostile("no_key", _under(None)),
    "a key that is no text": Hostile("bad_key", _under(b"\xff")),
    "a key with a NUL": Hostile("bad_key", _under(b"a\0b")),
    "a long key": Hostile("bad_key", _under(b"k" * 2000)),
    "a long id": Hostile("bad_id", _with((ID, b"i" * (MAX_ID + 1)))),
    "an id that is no text": Hostile("bad_id", _with((ID, b"\xff" * 100))),
    "a saga that is no text": Hostile("bad_header", _with((CORRELATION, b"\xff"))),
    "a saga of any length": Hostile("bad_header", _with((CORRELATION, b"s" * (MAX_ID + 1)))),
    "a time that is none": Hostile("bad_header", _with(("weft-cause-time", b"soon"))),
    "a letter": Hostile("not_avro", _said(b"\xff", ("dlq-original-topic", b"of.own"))),
    "a header's name that is no text": Hostile("bad_header", _with((UNREAD, BAD_NAME)), is_on_the_wire=False),
    "what unpacks to too much": Hostile(
        "too_large", lambda m, _: Outgoing(None, None, [(UNREAD, TOO_MUCH)]), is_on_the_wire=False
    ),
}


def record_of(name: str, model: Model, identity: str) -> Outgoing:
    """The hostile record of this name."""
    return TABLE[name].made(model, [(ID, identity.encode()), (TYPE, model.type)])


def noise(asked: Sequence[Read], identity: str, dice: Random) -> Outgoing:
    """One of them, most of the time about an aggregate that others ask too; now and then under the id of what they asked."""
    came = dice.choice(asked) if asked else Read("", 0, 0, 0, b"nobody", b"{}", ())
    if came.topic.endswith(".own") and dice.random() < 0.2:  # what only its context asks
        return Outgoing(came.key, came.value, [(ID, identity.encode()), (TYPE, Model.of(came).type)])
    record = record_of(dice.choice(list(TABLE)), Model.of(came), identity)
    taken = dict(came.headers).get(ID)
    if taken and dice.random() < 0.1:
        ours = (ID, identity.encode())
        return record._replace(headers=[(ID, taken) if header == ours else header for header in record.headers])
    return record
