"""Whether today's schemas read everything that was ever written."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from commands.orders import CancelOrder
from infra.errors import Unusable
from infra.ops import recording
from infra.shop.mesh import mesh
from infra.wire import avro
from infra.wire.avro import Codec
from infra.wire.compatibility import incompatible
from infra.wire.schemas import Locked, fingerprint

NAME = "orders.CancelOrder"
NOW = mesh.vocabulary.schemas.current(NAME)


def locked(schema: Any, number: int = 1, name: str = NAME) -> dict[int, Locked]:
    return {number: Locked(number, name, fingerprint(schema), schema)}


def changed(**fields: Any) -> Any:
    """The schema with fields changed by name, or left out (None), or added."""
    schema = deepcopy(NOW)
    for name, kind in fields.items():
        others = [f for f in schema["fields"] if f["name"] != name]
        schema["fields"] = others + ([{"name": name, **kind}] if kind else [])
    return schema


def test_everything_locked_is_read_by_todays_code() -> None:
    assert incompatible(mesh.vocabulary.current, mesh.vocabulary.schemas.locked(), {}) == []


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (NOW, None),
        (changed(note={"type": "string"}), None),  # a field that was dropped since
        (changed(reason=None), "default"),  # a field that was added since, without a default
        (changed(reason={"type": "long"}), "type mismatch"),
        ({**NOW, "fields": list(reversed(NOW["fields"]))}, "its id is"),
    ],
)
def test_a_change_is_refused_unless_old_records_can_be_read(written: Any, says: str | None) -> None:
    complaints = incompatible({NAME: NOW}, locked(written), {})
    assert (len(complaints) == 1 and says in complaints[0]) if says else complaints == []


def test_every_older_version_counts_and_not_only_the_last() -> None:
    history = locked(changed(reason=None), 1) | locked(NOW, 2)
    assert len(incompatible({NAME: NOW}, history, {})) == 1


def test_what_was_written_may_not_vanish_from_the_code() -> None:
    assert "no longer in the code" in incompatible({}, locked(NOW), {})[0]


def test_an_upcast_makes_up_for_what_avro_cannot_read() -> None:
    assert incompatible({NAME: NOW}, locked(changed(reason=None)), {1: lambda old: old}) == []
    assert incompatible({}, locked(NOW), {1: lambda old: old}) == []


def test_an_upcast_of_nothing_is_told() -> None:
    assert "nothing to upcast" in incompatible({NAME: NOW}, locked(NOW), {7: lambda old: old})[0]


def test_an_old_record_is_upcast_when_it_is_read() -> None:
    old = changed(reason={"type": "long"})
    everything = {
        n: entry for n, entry in mesh.vocabulary.schemas.locked().items() if entry.name in (NAME, *avro.RUNTIME_TYPES)
    }
    history = everything | locked(old, 999)
    codec = Codec(
        {NAME: CancelOrder},
        mesh.vocabulary.schemas,
        history,
        {999: lambda was: CancelOrder(**{**was, "reason": f"code {was['reason']}"})},
    )
    value = b"\x00" + (999).to_bytes(4) + b"\x0eorder-1" + b"\x0e"  # order_id "order-1", reason 7
    assert codec.decode(value) == CancelOrder(order_id="order-1", reason="code 7")


def test_a_schema_that_is_locked_nowhere_is_a_clear_error() -> None:
    with pytest.raises(Unusable, match="weft schemas lock"):
        Codec({NAME: CancelOrder}, mesh.vocabulary.schemas, {})


RECORDED = sorted((Path(__file__).parent.parent / "recorded").glob("*.jsonl.gz"))


@pytest.mark.parametrize("log", RECORDED, ids=lambda file: file.name)
def test_a_log_recorded_by_older_code_still_folds(log: Path) -> None:
    folded = recording.check(mesh, log)
    # every context and projection of its time; what came later has no record in it, and makes nothing
    assert [f for f in folded if f.records]
    assert not [f for f in folded if f.records and not f.made]


@pytest.mark.parametrize("log", RECORDED, ids=lambda file: file.name)
def test_every_record_of_an_old_log_is_somebodys(log: Path) -> None:
    assert {recording.context_of(record) for record in recording.read(log)} <= mesh.contexts.keys()


def test_there_is_a_recorded_log() -> None:
    assert RECORDED
