import json
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from infra.errors import Unusable
from infra.messages import Refused
from infra.model.context import Aggregate
from infra.shop.mesh import mesh
from infra.wire import avro
from infra.wire.avro import Codec
from infra.wire.schemas import OWN, OWN_IDS, Locked, Schemas, fingerprint, lock_in, read_lock
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


@pytest.mark.parametrize("name", [*mesh.types, *avro.RUNTIME_TYPES])
def test_the_dataclass_mirrors_the_schema(name: str) -> None:
    schema = json.loads(mesh.vocabulary.schemas.file(name).read_text())
    assert f"{schema['namespace']}.{schema['name']}" == name
    assert mirrors(schema, mesh.codec.types[name])


AGGREGATES = [a for c in mesh.contexts.values() for a in c.aggregates]


@pytest.mark.parametrize("aggregate", AGGREGATES, ids=lambda a: a.decide.__module__)
def test_every_message_of_an_aggregate_begins_with_its_id(aggregate: Aggregate) -> None:
    first = {(f.name, f.type) for message in (*aggregate.commands, *aggregate.events) for f in fields(message)[:1]}
    assert [kind for _, kind in first] == [str]


def test_no_schema_file_is_left_over() -> None:
    files = {*mesh.vocabulary.schemas.root.rglob("*.avsc"), *OWN.glob("*.avsc")}
    assert files == {mesh.vocabulary.schemas.file(name) for name in mesh.codec.types}


@pytest.mark.parametrize("message", [place, placed, Refused(code="no", reason="because")])
def test_a_message_survives_the_wire(message: Any) -> None:
    codec = mesh.codec
    assert codec.decode(codec.encode(message)) == message


def test_encoding_leaves_the_message_as_it_was() -> None:
    mesh.codec.encode(placed)
    assert isinstance(placed.lines, tuple)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x00\x00\x00",
        b"\x01\x00\x00\x00\x01ab",
        b"\x00\x00\x0f\x42\x40ab",
        mesh.codec.encode(placed)[:-1],
        mesh.codec.encode(placed) + b"\x00",
    ],
)
def test_what_is_not_exactly_one_message_is_not_read(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"framing|lock|Avro|left over"):
        mesh.codec.decode(value)


def test_a_record_of_an_older_schema_is_read_with_todays_defaults() -> None:
    today = json.loads(mesh.vocabulary.schemas.file("weft.Refused").read_text())
    newer = today | {"fields": [*today["fields"], {"name": "hint", "type": "string", "default": "none"}]}
    locked = mesh.vocabulary.schemas.locked()
    old_value = mesh.codec.encode(Refused(code="no", reason="because"))
    old = next(entry for entry in locked.values() if entry.name == "weft.Refused")
    # given a reader whose current schema has one field more
    _, writer, _, make = Codec({}, mesh.vocabulary.schemas, locked)._decoders[old.id.to_bytes(5)]
    import fastavro

    record = avro._read(old_value, 5, writer, fastavro.parse_schema(newer))
    assert record == {"code": "no", "reason": "because", "hint": "none"}
    assert make(dict(record)).code == "no"


def test_a_schema_that_is_not_locked_is_refused_with_the_cure() -> None:
    with pytest.raises(Unusable, match="weft schemas lock"):
        Codec(mesh.types, mesh.vocabulary.schemas, {})


ONE, OTHER = ("orders.OrderPlaced",), ("orders.OrderConfirmed",)


def test_locking_gives_new_ids_and_keeps_old_ones(tmp_path: Path) -> None:
    file = tmp_path / "lock.json"
    first, both = ({name: mesh.vocabulary.current[name] for name in names} for names in (ONE, (*ONE, *OTHER)))
    lock_in(file, first, 1, {})
    before = read_lock(file)
    assert lock_in(file, both, 1, {}) == [*OTHER]
    after = read_lock(file)
    assert after.keys() == {1, 2}
    assert after[1] == before[1]


def test_the_librarys_ids_never_meet_an_applications(tmp_path: Path) -> None:
    others = mesh.vocabulary.schemas.locked()
    lock_in(
        tmp_path / "own.json",
        {"weft.Refused": {**mesh.vocabulary.current["weft.Refused"], "doc": "newer"}},
        OWN_IDS,
        others,
    )
    lock_in(tmp_path / "lock.json", {"orders.OrderPlaced": mesh.vocabulary.current["orders.OrderPlaced"]}, 1, others)
    theirs = [number for number in others if number < OWN_IDS]
    assert [*read_lock(tmp_path / "own.json")] == [max(others) + 1]
    assert [*read_lock(tmp_path / "lock.json")] == [max(theirs) + 1]


def test_the_committed_lock_is_what_its_fingerprints_say() -> None:
    locked = mesh.vocabulary.schemas.locked()
    assert all(isinstance(e, Locked) and fingerprint(e.schema) == e.fingerprint for e in locked.values())


@dataclass(frozen=True)
class Point:
    x: int


@dataclass(frozen=True)
class Line:
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Drawn:
    drawing_id: str
    origin: Point
    lines: tuple[Line, ...]


def test_records_stand_in_records_and_in_lists_of_those(tmp_path: Path) -> None:
    # given a message with a record in it, and records that have lists of it
    point = {"type": "record", "name": "Point", "fields": [{"name": "x", "type": "long"}]}
    points = {"name": "points", "type": {"type": "array", "items": "Point"}}
    fields = [
        {"name": "drawing_id", "type": "string"},
        {"name": "origin", "type": point},
        {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [points]}}},
    ]
    schemas, name = Schemas(tmp_path), "drawings.Drawn"
    schemas.file(name).parent.mkdir()
    schemas.file(name).write_text(json.dumps({"type": "record", "name": "Drawn", "fields": fields}))
    lock_in(schemas.lock_file, {name: schemas.current(name)}, 1, schemas.locked())
    codec = Codec({name: Drawn}, schemas)
    # then it is read as it was written
    drawn = Drawn("1", Point(0), (Line((Point(1), Point(2))), Line(())))
    assert codec.decode(codec.encode(drawn)) == drawn


def test_a_tag_changes_nothing_that_older_code_has_to_read(tmp_path: Path) -> None:
    # given a schema that was locked before one of its fields got a tag
    today = mesh.vocabulary.current["orders.OrderPlaced"]
    fields = [{name: part for name, part in field.items() if name != "withheld"} for field in today["fields"]]
    before = {**today, "fields": fields}
    assert before != today
    file = tmp_path / "lock.json"
    lock_in(file, {"orders.OrderPlaced": before}, 1, {})
    # then it gets no other id, and is written as it was
    assert lock_in(file, {"orders.OrderPlaced": today}, 1, {}) == []
    assert mesh.codec.schema_id(type(placed)) < 96


def test_what_is_written_under_a_tagged_schema_is_read_by_code_that_knows_no_tag(tmp_path: Path) -> None:
    # given older code, and its successor that only added a tag, each with its own schemas and lock
    name, today = "orders.OrderPlaced", mesh.vocabulary.current["orders.OrderPlaced"]
    older, newer = Schemas(tmp_path / "older"), Schemas(tmp_path / "newer")
    for schemas, schema in ((older, {**today, "doc": "Before."}), (newer, today)):
        schemas.file(name).parent.mkdir(parents=True)
        schemas.file(name).write_text(json.dumps(schema))
    lock_in(older.lock_file, {name: older.current(name)}, 1, older.locked())
    newer.lock_file.write_text(older.lock_file.read_text())
    lock_in(newer.lock_file, {name: newer.current(name)}, 1, newer.locked())
    # when it writes, then that is read
    types = {name: type(placed)}
    assert Codec(types, older).decode(Codec(types, newer).encode(placed)) == placed
