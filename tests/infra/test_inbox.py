"""How a command is read, and what is wrong with one that cannot be."""

import base64
import json
from dataclasses import asdict
from typing import Any

import fastavro
import pytest

from infra.errors import Unreadable
from infra.messages import Discard
from infra.wire.avro import Codec
from infra.wire.envelope import Way
from infra.wire.inbox import DISCARD, Command, CommandReader, Posted
from infra.wire.record import BAD_NAME, UNREAD, Read, partition_of
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
    value: bytes | None,
    *headers: tuple[str, bytes],
    key: bytes | None = b"c1",
    way: Way = Way.COMMANDS,
    codec: Codec = mesh.codec,
) -> Posted:
    record = Read("counter.commands", 1, 42, 1000, key, value, headers)
    (read,) = CommandReader("counter", ways(mesh.context("counter")), 4, codec).read([record], way)
    return read


def read(
    value: bytes | None, *headers: tuple[str, bytes], key: bytes | None = b"c1", codec: Codec = mesh.codec
) -> Command:
    command = posted(value, *headers, key=key, codec=codec).command
    if isinstance(command, Unreadable):
        raise command
    return command


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (AVRO, (TYPE,)),
        (PLAIN, (TYPE,)),
        (as_json(), (TYPE,)),
        (b"\xef\xbb\xbf" + as_json(), (TYPE,)),
        (b" \r\n\t" + as_json() + b"\n", (TYPE,)),
        (as_json(), (TYPE, ("traceparent", b"\xff"))),
    ],
    ids=["framed", "plain avro", "json", "byte-order mark", "blanks", "no trace"],
)
def test_a_command_is_read_in_every_encoding(value: bytes, headers: tuple[Any, ...]) -> None:
    assert read(value, *headers).payload == ADD


def test_a_schema_id_is_believed_where_everybody_means_the_same_by_it() -> None:
    assert read(AVRO, codec=mesh.with_ids(mesh.vocabulary.ids).codec).payload == ADD


def test_plain_avro_that_begins_like_json_is_read() -> None:
    odd = Add(counter_id='{"a": 1, "b": 2}', amount=1)  # whose length looks like a blank
    value = mesh.codec.encode(odd)[5:]
    assert value[:2] == b" {" and read(value, TYPE, key=odd.counter_id.encode()).payload == odd


def test_an_id_that_is_no_text_is_none() -> None:
    assert posted(AVRO, TYPE, ("ce_id", b"\xff")).id == b"counter.commands/1/42@1000"


@pytest.mark.parametrize("value", [AVRO, b"junk", as_json(amount="2")], ids=["avro", "junk", "json"])
def test_of_what_was_not_read_nobody_can_tell_whether_it_names_a_person(value: bytes) -> None:
    assert posted(value, TYPE, key=b"another").may_name
    assert not posted(AVRO, TYPE).may_name


# -- CloudEvents in structured mode

STRUCTURED = ("content-type", b"application/cloudevents+json; charset=utf-8")
EVENT = {
    "specversion": "1.0",
    "type": "counter.Add",
    "source": "/me",
    "id": "ce-8",
    "subject": "c1",
    "data": asdict(ADD),
}
TRACED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def structured(**changes: Any) -> bytes:
    return json.dumps({k: v for k, v in (EVENT | changes).items() if v is not None}).encode()


def test_a_cloudevent_is_read_that_is_one_json_object() -> None:
    asked = posted(structured(correlationid="saga-1", traceparent=TRACED), STRUCTURED)
    assert isinstance(asked.command, Command)
    assert (asked.command.payload, asked.id, asked.command.correlation) == (ADD, b"ce-8", b"saga-1")
    assert asked.command.trace == TRACED.encode()


def test_the_data_of_a_cloudevent_may_be_avro() -> None:
    event = structured(data=None, data_base64=base64.b64encode(AVRO).decode())
    assert read(event, STRUCTURED).payload == ADD


def test_the_subject_of_a_cloudevent_without_a_key_is_its_key() -> None:
    asked = posted(structured(), STRUCTURED, key=None)
    assert (asked.key, asked.partition, asked.forwarded().key) == (b"c1", partition_of(b"c1", 4), b"c1")


def test_what_is_forwarded_of_a_cloudevent_is_read_where_it_goes() -> None:
    forwarded = posted(structured(), STRUCTURED).forwarded()
    again = posted(forwarded.value, *[(name, value or b"") for name, value in forwarded.headers], key=forwarded.key)
    assert isinstance(again.command, Command)
    assert (again.command.payload, again.id) == (ADD, b"ce-8")


NO_CLOUDEVENTS = {
    "no json": b"{",
    "no object": b"[]",
    "another version": structured(specversion="0.3"),
    "no version": structured(specversion=None),
    "an attribute that is no text": structured(id={"a": 1}),
    "half a pair of surrogates": b'{"specversion":"1.0","id":"\\ud800"}',
    "a name that is none": structured(ce_id="x"),
    "no base64": structured(data_base64="?"),
    "nested": b'{"specversion":"1.0","data":' + b"[" * 100_000,
}


@pytest.mark.parametrize("what", NO_CLOUDEVENTS)
def test_what_is_no_cloudevent_is_answered(what: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read(NO_CLOUDEVENTS[what], STRUCTURED)
    assert caught.value.code == "not_cloudevent"


@pytest.mark.parametrize("media", [b"application/cloudevents-batch+json", b"application/cloudevents+avro"])
def test_a_form_of_cloudevents_that_is_not_read_is_named(media: bytes) -> None:
    with pytest.raises(Unreadable, match=media.decode().replace("+", r"\+")):
        read(structured(), ("Content-Type", media))


def test_a_cloudevent_of_any_size_is_answered() -> None:
    with pytest.raises(Unreadable) as caught:
        read(structured(data="x" * 300_000), STRUCTURED)
    assert caught.value.code == "too_large"


def test_in_json_the_id_may_be_left_to_the_key() -> None:
    body = asdict(ADD)
    del body["counter_id"]
    assert read(json.dumps(body).encode(), TYPE).payload == ADD


def test_a_command_without_an_id_is_known_by_its_place() -> None:
    assert posted(AVRO).id == b"counter.commands/1/42@1000"


def test_a_command_without_a_correlation_starts_one() -> None:
    assert read(AVRO, TYPE, ("ce_id", b"mine")).correlation == b"mine"


def test_a_causes_time_is_not_undercut_but_not_believed_without_bounds() -> None:
    assert posted(AVRO, ("weft-cause-time", b"1500")).at == 1500
    assert posted(AVRO, ("weft-cause-time", b"99999999999999")).at == 121_000


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
        ("not_avro", AVRO[:-3], (TYPE,), b"k"),
        ("not_avro", AVRO + b"x", (TYPE,), b"k"),
        ("not_json", b"{oops", (TYPE,), b"k"),
        ("unknown_schema", UNKNOWN_ID, (), b"k"),
        ("unknown_schema", b"\x00", (), b"k"),
        ("unknown_type", as_json(), (("ce_type", b"counter.Explode"),), b"k"),
        ("unknown_type", mesh.codec.encode(Added(counter_id="c1", amount=2)), (("ce_type", b"counter.Added"),), b"k"),
        ("no_type", AVRO, (), b"c1"),
        ("not_json", b" {oops", (TYPE,), b"k"),
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
        ("key_mismatch", AVRO, (TYPE,), b"another"),
        ("bad_id", AVRO, (("ce_id", b"i" * 300),), b"c1"),
        ("bad_header", AVRO, (("weft-cause-time", b"soon"),), b"c1"),
        ("bad_id", AVRO, (("ce_id", b"\xff" * 100),), b"c1"),
        ("bad_header", AVRO, (TYPE, ("ce_correlationid", b"t" * 300)), b"c1"),
        ("bad_header", AVRO, (TYPE, ("ce_correlationid", b"\xff")), b"c1"),
        ("bad_header", AVRO, (("ce_type", b"\xff"),), b"c1"),
        ("bad_header", AVRO, ((UNREAD, BAD_NAME),), b"c1"),
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
