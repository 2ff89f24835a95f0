"""Everything has a meaning and an owner."""

import re

import pytest

from infra.model.projection import COMMENT
from infra.ops.catalogue import Entry, entries
from infra.read import analytics
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


def test_what_names_a_person_is_said_also_in_a_list() -> None:
    (channels,) = (e for e in ENTRIES if e.name == "users.ChangeContactChannels")
    assert channels.fields["channels.address"] == ("string", "names a person: user_id")


VIEW = re.compile(r"^CREATE OR REPLACE VIEW analytics\.(\w+) AS\n(.*?);$", re.MULTILINE | re.DOTALL)
SQL = "\n".join([analytics.spanning(mesh), analytics.FRESHNESS, *(p.views for p in mesh.projections.values())])


def columns(select: str) -> list[str]:
    """The names of what a query selects, by reading it: what is in parentheses and in quotes is passed over."""
    flat = re.sub(r"'(?:[^']|'')*'", "", select)
    while "(" in flat:
        flat = re.sub(r"\([^()]*\)", " ", flat)
    chosen = re.split(r"\bFROM\b", re.split(r"\bSELECT\b", flat)[-1])[0]
    return [name for item in chosen.split(",") if (name := item.split()[-1].rpartition(".")[2]) != "*"]


def test_the_names_of_columns_are_read_from_a_query() -> None:
    assert columns("WITH a AS (SELECT x FROM y) SELECT *, a.b, count(*, 2) AS n, c::text AS d FROM a") == [
        "b",
        "n",
        "d",
    ]


@pytest.mark.parametrize(("view", "select"), VIEW.findall(SQL), ids=lambda text: text.split()[0])
def test_every_column_of_a_view_has_a_comment(view: str, select: str) -> None:
    comments = {name for kind, name, _ in COMMENT.findall(SQL) if kind == "COLUMN"}
    assert [name for name in columns(select) if f"{view}.{name}" not in comments] == []


def test_every_view_is_looked_at() -> None:
    assert {view for view, _ in VIEW.findall(SQL)} == {entry.name for entry in ENTRIES if entry.kind == "view"}
