"""Where two tables of one projection differ, row by row, and which events made the rows that do."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from infra.model.projection import Projection
from infra.read.fold import Fold
from infra.read.postgres import LONG
from infra.wire.avro import Codec
from infra.wire.record import Read

SAMPLES = 5


@dataclass(frozen=True)
class Change:
    """One row that is not what it was: each column with its live value, its rebuilt one, and the event that set the latter.

    `kind` is missing (not live), extra (live, and not in the log) or changed.
    """

    row: str
    kind: str
    columns: dict[str, tuple[Any, Any]]
    events: dict[str, str] = field(default_factory=dict)  # column or "row": event id and type

    def lines(self) -> Iterator[str]:
        sentences = {
            "missing": "is in the log and not in the live rows",
            "extra": "is in the live rows and not in the log",
        }
        if self.kind != "changed":
            yield f"{self.row} {sentences[self.kind]}{self._because('row')}"
        for column, (live, rebuilt) in self.columns.items():
            yield f"{self.row}.{column} is {live!r}, the log says {rebuilt!r}{self._because(column)}"

    def _because(self, what: str) -> str:
        return f" ({self.events[what]})" if what in self.events else ""


@dataclass(frozen=True)
class Differences:
    """How many rows differ and how, and a few of them."""

    rows: int
    missing: int
    extra: int
    changed: int
    by_column: dict[str, int]
    new_columns: list[str]
    gone_columns: list[str]
    samples: list[Change]

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.changed or self.new_columns or self.gone_columns)

    def lines(self) -> Iterator[str]:
        """What a person wants to know, a line each."""
        if self.new_columns:
            yield f"new columns: {', '.join(self.new_columns)}"
        if self.gone_columns:
            yield f"columns that go away: {', '.join(self.gone_columns)}"
        if self.missing:
            yield f"{self.missing} rows are not live"
        if self.extra:
            yield f"{self.extra} live rows are not in the log"
        if self.changed:
            by = ", ".join(f"{column} in {count}" for column, count in self.by_column.items())
            yield f"{self.changed} of {self.rows} rows differ: {by}"
        for change in self.samples:
            yield from change.lines()


async def compare(db: asyncpg.Connection, projection: Projection, live: str, rebuilt: str) -> Differences:
    """Compare every row of two schemas, in the columns both have, as this transaction sees them."""
    name, key = projection.name, projection.key
    there, here = [await _columns(db, schema, name) for schema in (live, rebuilt)]
    common = [column for column in here if column in there and column != key]
    differs = {c: f"a.{c} IS DISTINCT FROM b.{c}" for c in common}
    both = f"a.{key} IS NOT NULL AND b.{key} IS NOT NULL"
    joined = f"FROM {live}.{name} a FULL JOIN {rebuilt}.{name} b ON a.{key} = b.{key}"
    any_ = " OR ".join(differs.values()) or "false"
    counts = ", ".join(f"count(*) FILTER (WHERE {both} AND {test})" for test in differs.values())
    totals = await db.fetchrow(
        f"SELECT count(*), count(*) FILTER (WHERE a.{key} IS NULL), count(*) FILTER (WHERE b.{key} IS NULL), "
        f"count(*) FILTER (WHERE {both} AND ({any_})){', ' if counts else ''}{counts} {joined}",
        timeout=LONG,
    )
    rows, missing, extra, changed, *each = totals.values()
    samples: list[Change] = []
    if missing or extra or changed:
        pairs = "".join(f", a.{c}, b.{c}" for c in common)
        picked = await db.fetch(
            f"SELECT coalesce(a.{key}, b.{key}), a.{key} IS NULL, b.{key} IS NULL{pairs} {joined} "
            f"WHERE a.{key} IS NULL OR b.{key} IS NULL OR {any_} ORDER BY 1 LIMIT {SAMPLES}",
            timeout=LONG,
        )
        samples = [_change(common, *row.values()) for row in picked]
    return Differences(
        rows,
        missing,
        extra,
        changed,
        {column: count for column, count in zip(common, each, strict=True) if count},
        [c for c in here if c not in there],
        [c for c in there if c not in here],
        samples,
    )


class Comparison:
    """The same of live rows that come one by one, and of rebuilt ones: both by id, in the order of the ids."""

    def __init__(self, projection: Projection, rebuilt: Iterable[tuple[str, Any]]) -> None:
        self._projection = projection
        self._rebuilt = iter(rebuilt)
        self._next = next(self._rebuilt, None)
        self._rows = self._missing = self._extra = self._changed = 0
        self._by_column = dict.fromkeys(projection.columns, 0)
        self._samples: dict[str, list[Change]] = {"changed": [], "missing": [], "extra": []}

    def add(self, row_id: str, live: Any) -> None:
        """Take in the next live row."""
        while self._next is not None and self._next[0] < row_id:
            self._pass_missing(self._next[0])
        self._rows += 1
        if self._next is None or self._next[0] != row_id:
            self._extra += 1
            self._sample(Change(row_id, "extra", {}))
            return
        rebuilt = self._next[1]
        self._next = next(self._rebuilt, None)
        if live != rebuilt:
            pairs = _pairs(self._projection, live, rebuilt)
            self._changed += 1
            for column in pairs:
                self._by_column[column] += 1
            self._sample(Change(row_id, "changed", pairs))

    def differences(self) -> Differences:
        """All that was found, when there are no more live rows."""
        while self._next is not None:
            self._pass_missing(self._next[0])
        by_column = {column: count for column, count in self._by_column.items() if count}
        samples = [change for kind in self._samples.values() for change in kind][:SAMPLES]
        return Differences(self._rows, self._missing, self._extra, self._changed, by_column, [], [], samples)

    def _pass_missing(self, row_id: str) -> None:
        self._rows += 1
        self._missing += 1
        self._sample(Change(row_id, "missing", {}))
        self._next = next(self._rebuilt, None)

    def _sample(self, change: Change) -> None:
        of_its_kind = self._samples[change.kind]
        if len(of_its_kind) < SAMPLES:
            of_its_kind.append(change)


def _pairs(projection: Projection, live: Any, rebuilt: Any) -> dict[str, tuple[Any, Any]]:
    pairs = {c: (getattr(live, c), getattr(rebuilt, c)) for c in projection.columns}
    return {column: pair for column, pair in pairs.items() if pair[0] != pair[1]}


async def _columns(db: asyncpg.Connection, schema: str, table: str) -> list[str]:
    rows = await db.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position",
        schema,
        table,
    )
    return [row["column_name"] for row in rows]


def _change(common: Sequence[str], row: str, missing: bool, extra: bool, *values: Any) -> Change:
    if missing or extra:
        return Change(row, "missing" if missing else "extra", {})
    pairs = dict(zip(common, zip(values[::2], values[1::2], strict=True), strict=True))
    return Change(row, "changed", {c: pair for c, pair in pairs.items() if pair[0] != pair[1]})


def traced(
    projection: Projection, codec: Codec, changes: Sequence[Change], batches: Iterable[Sequence[Read]]
) -> list[Change]:
    """The same with the events that set what the log says: the last that changed each column, and the row's last."""
    fold = Fold(projection, codec)
    wanted = {change.row for change in changes}
    rows: dict[str, Any] = {}
    causes: dict[str, dict[str, str]] = {row: {} for row in wanted}
    for records in batches:
        for row_id, event, m in fold.facts(records):
            if row_id in wanted:
                before = rows.get(row_id)
                rows[row_id] = projection.project(before, event, m)
                cause = f"{m.id} {m.type}"
                causes[row_id]["row"] = cause
                causes[row_id] |= dict.fromkeys(_set(before, rows[row_id]), cause)
    return [
        Change(change.row, change.kind, change.columns, _of(causes[change.row], change.columns)) for change in changes
    ]


def _set(before: Any, after: Any) -> list[str]:
    """The columns that an event changed."""
    old: Mapping[str, Any] = before.__dict__ if before is not None else {}
    new: Mapping[str, Any] = after.__dict__ if after is not None else {}
    return [column for column in old.keys() | new.keys() if old.get(column) != new.get(column)]


def _of(causes: Mapping[str, str], columns: Iterable[str]) -> dict[str, str]:
    return {what: causes[what] for what in ("row", *columns) if what in causes}
