import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from infra import avro, mesh
from infra.avro import Codec, Locked
from infra.errors import Unusable
from schemas import Refused
from tests.orders.examples import place, placed

AVRO = {"string": str, "long": int, "boolean": bool, "double": float}


def mirrors(schema: Any, hint: Any) -> bool:
    if isinstance(schema, str):
        return AVRO[schema] is hint
    if schema["type"] == "array":
        return get_origin(hint) is tuple and mirrors(schema["items"], get_args(hint)[0])
    names = [f.name for f in fields(hint)] if is_dataclass(hint) else []
    hints = get_type_hints(hint)
    return names == [f["name"] for f in schema["fields"]] and all(
        mirrors(f["type"], hints[f["name"]]) for f in schema["fields"]
    )


@pytest.mark.parametrize("name", [*mesh.message_types(), *avro.RUNTIME_TYPES])
def test_the_dataclass_mirrors_the_schema(name: str) -> None:
    schema = json.loads(avro.schema_file(name).read_text())
    assert f"{schema['namespace']}.{schema['name']}" == name
    assert mirrors(schema, mesh.codec().types[name])


@pytest.mark.parametrize("name", mesh.message_types())
def test_the_first_field_is_the_aggregates_id(name: str) -> None:
    first = fields(mesh.message_types()[name])[0]
    assert first.name.endswith("_id") or first.name in ("sku", "email_key")
    assert first.type is str


def test_no_schema_file_is_left_over() -> None:
    files = set(avro.ROOT.rglob("*.avsc"))
    assert files == {avro.schema_file(name) for name in mesh.codec().types}


@pytest.mark.parametrize("message", [place, placed, Refused(code="no", reason="because")])
def test_a_message_survives_the_wire(message: Any) -> None:
    codec = mesh.codec()
    assert codec.decode(codec.encode(message)) == message


def test_encoding_leaves_the_message_as_it_was() -> None:
    mesh.codec().encode(placed)
    assert isinstance(placed.lines, tuple)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x00\x00\x00",
        b"\x01\x00\x00\x00\x01ab",
        b"\x00\x00\x0f\x42\x40ab",
        mesh.codec().encode(placed)[:-1],
        mesh.codec().encode(placed) + b"\x00",
    ],
)
def test_what_is_not_exactly_one_message_is_not_read(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"framing|lock|Avro|left over"):
        mesh.codec().decode(value)


def test_a_record_of_an_older_schema_is_read_with_todays_defaults() -> None:
    today = json.loads(avro.schema_file("weft.Refused").read_text())
    newer = today | {"fields": [*today["fields"], {"name": "hint", "type": "string", "default": "none"}]}
    locked = avro.read_lock()
    old_value = mesh.codec().encode(Refused(code="no", reason="because"))
    old = next(entry for entry in locked.values() if entry.name == "weft.Refused")
    # given a reader whose current schema has one field more
    _, writer, _, make = Codec({}, locked)._decoders[old.id.to_bytes(5)]
    import fastavro

    found = avro._read(old_value, 5, writer, fastavro.parse_schema(newer))
    assert found == {"code": "no", "reason": "because", "hint": "none"}
    assert make(dict(found)).code == "no"


def test_a_schema_that_is_not_locked_is_refused_with_the_cure() -> None:
    with pytest.raises(Unusable, match="weft schemas lock"):
        Codec(mesh.message_types(), {})


def test_locking_gives_new_ids_and_keeps_old_ones(tmp_path: Path) -> None:
    file = tmp_path / "lock.json"
    avro.lock(["orders.OrderPlaced"], file)
    before = avro.read_lock(file)
    assert avro.lock(["orders.OrderPlaced", "orders.OrderConfirmed"], file) == ["orders.OrderConfirmed"]
    after = avro.read_lock(file)
    assert after.keys() == {1, 2}
    assert after[1] == before[1]


def test_the_committed_lock_is_what_its_fingerprints_say() -> None:
    locked = avro.read_lock()
    assert all(isinstance(e, Locked) and avro.fingerprint(e.schema) == e.fingerprint for e in locked.values())
