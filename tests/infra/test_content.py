"""What may be told of an event: also where a record is named a second time, and not written out again."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.wire.avro import Codec
from infra.wire.columns import FEW
from infra.wire.content import content, withheld
from infra.wire.schemas import Schemas, fingerprint, lock_in, read_lock, spelled_out
from infra.wire.sealing import personal, seal, unsealed


@dataclass(frozen=True)
class Stop:
    place: str
    contact: str
    code: str


@dataclass(frozen=True)
class Planned:
    trip_id: str
    driver: str
    outward: tuple[Stop, ...]
    back: tuple[Stop, ...]


NAME = "trips.Planned"
STOP = {
    "type": "record",
    "name": "Stop",
    "fields": [
        {"name": "place", "type": "string"},
        {"name": "contact", "type": "string", "pii": "driver"},
        {"name": "code", "type": "string", "withheld": True},
    ],
}


def planned(second: object) -> dict[str, object]:
    """The schema; `second` is how the record is named behind its first place."""
    return {
        "type": "record",
        "namespace": "trips",
        "name": "Planned",
        "fields": [
            {"name": "trip_id", "type": "string"},
            {"name": "driver", "type": "string"},
            {"name": "outward", "type": {"type": "array", "items": STOP}},
            {"name": "back", "type": {"type": "array", "items": second}},
        ],
    }


SEALED = seal(b"k" * 32, "ada", "+491511234567")
TRIP = Planned("1", "ada", (), (Stop("Kiel", SEALED, "4711"),))


@pytest.fixture(params=["Stop", "trips.Stop"])
def codec(request: pytest.FixtureRequest, tmp_path: Path) -> Codec:
    schemas = Schemas(tmp_path)
    schemas.file(NAME).parent.mkdir()
    schemas.file(NAME).write_text(json.dumps(planned(request.param)))
    lock_in(schemas.lock_file, {NAME: schemas.current(NAME)}, 1, schemas.locked())
    return Codec({NAME: Planned}, schemas)


def test_what_is_withheld_is_not_told_where_its_record_is_named_again(codec: Codec) -> None:
    assert content(TRIP, codec.schemas[NAME])["back"] == [{"place": "Kiel", "contact": ""}]


def test_it_is_listed_there(codec: Codec) -> None:
    assert withheld(codec.schemas[NAME]) == ["outward.code", "back.code"]


def test_what_names_a_person_has_to_be_sealed_there(codec: Codec) -> None:
    spec = personal(codec.schemas[NAME])
    assert spec is not None
    assert unsealed(spec, TRIP) == []
    assert unsealed(spec, Planned("1", "bob", (), TRIP.back)) == ["back.contact"]


def test_it_is_read_as_it_was_written(codec: Codec) -> None:
    assert codec.decode(codec.encode(TRIP)) == TRIP


def test_it_is_read_and_written_by_the_column_too(codec: Codec) -> None:
    trips = [TRIP] * FEW
    assert codec._columns[Planned].encode(trips) is not None
    assert codec.encode_many(trips) == [codec.encode(trip) for trip in trips]
    assert codec.decode_many(codec.encode_many(trips)) == trips


def test_the_lock_has_the_schema_as_its_file_has_it(codec: Codec, tmp_path: Path) -> None:
    (entry,) = read_lock(tmp_path / "lock.json").values()
    assert entry.fingerprint == fingerprint(json.loads((tmp_path / "trips" / "planned.avsc").read_text()))


def test_a_schema_that_names_nothing_again_is_spelled_out_as_it_is() -> None:
    once = planned("string")
    assert spelled_out(once) == once


def test_a_record_of_another_namespace_is_not_meant() -> None:
    assert spelled_out(planned("others.Stop")) == planned("others.Stop")
