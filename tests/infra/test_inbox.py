"""How a command is read, and what is wrong with one that cannot be."""

import json
from dataclasses import asdict
from typing import Any

import fastavro
import pytest

from infra.errors import Unreadable
from infra.messages import Discard
from infra.wire.envelope import Way
from infra.wire.inbox import DISCARD, Command, CommandReader, Posted
from infra.wire.record import Read
from infra.write.decision import ways
from tests.counter.commands.counter import Add
from tests.counter.mesh import mesh
from tests.counter.schemas.counter import Added

TYPE = ("ce_type", b"counter.Add")
ADD = Add(counter_id="c1", amount=2)
AVRO = mesh.codec.encode(ADD)
PLAIN = AVRO[5:]


def as_json(**changes: Any) -> bytes:
    return json.dumps(asdict(ADD) | changes).encode()


def posted(
    value: bytes | None, *headers: tuple[str, bytes], key: bytes | None = b"c1", way: Way = Way.COMMANDS
) -> Posted:
    record = Read("counter.commands", 1, 42, 1000, key, value, headers)
    (read,) = CommandReader("counter", ways(mesh.context("counter")), 4, mesh.codec).read([record], way)
    return read


def read(value: bytes | None, *headers: tuple[str, bytes], key: bytes | None = b"c1") -> Command:
    command = posted(value, *headers, key=key).command
    if isinstance(command, Unreadable):
        raise command
    return command


@pytest.mark.parametrize(
    ("value", "headers"),
    [(AVRO, ()), (AVRO, (TYPE,)), (PLAIN, (TYPE,)), (as_json(), (TYPE,))],
    ids=["framed", "framed and named", "plain avro", "json"],
)
def test_a_command_is_read_in_every_encoding(value: bytes, headers: tuple[Any, ...]) -> None:
    assert read(value, *headers).payload == ADD


def test_in_json_the_id_may_be_left_to_the_key() -> None:
    body = asdict(ADD)
    del body["counter_id"]
    assert read(json.dumps(body).encode(), TYPE).payload == ADD


def test_a_command_without_an_id_is_known_by_its_place() -> None:
    assert posted(AVRO).id == b"counter.commands/1/42@1000"


def test_a_command_without_a_correlation_starts_one() -> None:
    assert read(AVRO, ("ce_id", b"mine")).correlation == b"mine"


def test_a_causes_time_is_not_undercut_but_not_believed_without_bounds() -> None:
    assert posted(AVRO, ("weft-cause-time", b"1500")).at == 1500
    assert posted(AVRO, ("weft-cause-time", b"99999999999999")).at == 61_000


def test_the_plain_encoding_is_that_of_the_schema() -> None:
    import io

    out = io.BytesIO()
    fastavro.schemaless_writer(out, json.loads(mesh.vocabulary.schemas.file("counter.Add").read_text()), asdict(ADD))
    assert out.getvalue() == PLAIN


UNKNOWN_ID = b"\x00\x00\x00\x27\x0f" + PLAIN


@pytest.mark.parametrize(
    ("code", "value", "headers", "key"),
    [
        ("empty", None, (TYPE,), b"k"),
        ("empty", b"", (TYPE,), b"k"),
        ("no_type", b"garbage", (), b"k"),
        ("no_type", as_json(), (), b"k"),
        ("not_avro", b"garbage", (TYPE,), b"k"),
        ("not_avro", AVRO[:-3], (), b"k"),
        ("not_avro", AVRO + b"x", (), b"k"),
        ("not_json", b"{oops", (TYPE,), b"k"),
        ("unknown_schema", UNKNOWN_ID, (), b"k"),
        ("unknown_schema", b"\x00", (), b"k"),
        ("unknown_type", as_json(), (("ce_type", b"counter.Explode"),), b"k"),
        ("unknown_type", mesh.codec.encode(Added(counter_id="c1", amount=2)), (), b"k"),
        ("type_mismatch", AVRO, (("ce_type", b"counter.Carry"),), b"k"),
        ("wrong_fields", as_json(counter_id=5), (TYPE,), b"k"),
        ("wrong_fields", as_json(surprise=1), (TYPE,), b"k"),
        ("wrong_fields", as_json(amount="2"), (TYPE,), b"k"),
        ("wrong_fields", as_json(amount=2**70), (TYPE,), b"k"),
        ("wrong_fields", as_json(amount=10**30), (TYPE,), b"k"),
        ("no_key", AVRO, (), None),
        ("no_key", AVRO, (), b""),
        ("bad_key", AVRO, (), b"\xff\xfe"),
        ("bad_key", AVRO, (), b"k" * 300),
        ("key_mismatch", AVRO, (), b"another"),
        ("bad_id", AVRO, (("ce_id", b"i" * 300),), b"c1"),
        ("bad_header", AVRO, (("weft-cause-time", b"soon"),), b"c1"),
        ("bad_header", AVRO, (("traceparent", b"t" * 300),), b"c1"),
        ("too_large", b"{" + b" " * 300_000 + b"}", (TYPE,), b"k"),
    ],
)
def test_what_cannot_be_read_is_named(code: str, value: bytes | None, headers: Any, key: bytes | None) -> None:
    with pytest.raises(Unreadable) as error:
        read(value, *headers, key=key)
    assert error.value.code == code
    assert error.value.reason


@pytest.mark.parametrize("value", [b"[" * 100_000, b'{"reason": ' * 50_000], ids=["lists", "objects"])
def test_a_discard_that_is_nested_too_deeply_is_read_without_its_reason(value: bytes) -> None:
    assert posted(value, ("ce_type", DISCARD)).command == Discard(reason="")


def test_what_nobody_thought_of_is_wrong_with_that_record_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.wire.inbox._asked_at", lambda record, headers: 1 // 0)
    command = posted(AVRO).command
    assert isinstance(command, Unreadable)
    assert command.code == "unreadable"
