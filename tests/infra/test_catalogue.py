"""Everything has a meaning and an owner."""

import pytest

from infra.ops.catalogue import Entry, entries
from infra.settings import Settings
from infra.shop.mesh import mesh

ENTRIES = entries(Settings(), mesh)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.kind} {e.name}")
def test_it_says_what_it_is_and_whose(entry: Entry) -> None:
    assert entry.meaning and entry.owner
    if entry.kind in ("view", "function"):
        assert all(meaning for _, meaning in entry.fields.values())


def test_nothing_is_left_out() -> None:
    names = {e.name for e in ENTRIES}
    assert set(mesh.types) | set(mesh.projections) <= names
    assert {f"{c}.{part}" for c in mesh.contexts for part in ("commands", "events", "dead")} <= names
    assert {f"{c}_events" for c in mesh.contexts} | {"freshness", "wait_for", "customers"} <= names
