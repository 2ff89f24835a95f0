"""What a projection is made of: a row, how an event changes it, and its tables; read from a module's annotations.

A projection module has a frozen dataclass of its row (first field: the row's id, fields: the columns), `row_id(event, meta)`
and `project(row, event, meta) -> row | None`. Its table and indexes are in the .sql beside it, and behind them the views that
analysts see: dropped and replayed, never migrated.

The .sql file is read by pieces, so it keeps to a form; Unusable says where it does not:

- What is in front of the first `CREATE OR REPLACE VIEW` is the tables. They name no schema, since a rebuild makes them again
  in another one. One of them has the name of the module.
- What comes then is views and functions, each made by `CREATE OR REPLACE` at the beginning of a line and named
  `analytics.<name>`: where this text stands, the views of a moment have the name of another schema.
- A `COMMENT ON` is one line and its text one string: the catalogue reads it from here.
- Views show the tables of their own file. What spans read models is in analytics.sql, in the same form without tables.
"""

import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

from infra.errors import Unusable
from infra.model.context import parameter_types
from infra.wire.schemas import Node, fingerprint, untagged

MOMENT = "timestamptz"
SQL_TYPES: dict[type, str] = {
    str: "text",
    int: "bigint",
    bool: "boolean",
    float: "double precision",
    datetime: MOMENT,
}
ANALYTICS = "analytics"  # the schema of all views
MADE = re.compile(rf"^CREATE OR REPLACE (VIEW|FUNCTION) ({ANALYTICS}\.\w+)", re.MULTILINE)
COMMENT = re.compile(rf"^COMMENT ON (VIEW|COLUMN|FUNCTION) {ANALYTICS}\.([\w.]+) IS '((?:[^']|'')*)';", re.MULTILINE)
FORM = {
    re.compile(r"^\s*CREATE\s+(OR\s+REPLACE\s+)?(VIEW|FUNCTION)\b", re.IGNORECASE): (
        MADE,
        f"write CREATE OR REPLACE VIEW {ANALYTICS}.<name> at the beginning of a line",
    ),
    re.compile(r"^\s*COMMENT\s+ON\b", re.IGNORECASE): (
        COMMENT,
        f"write COMMENT ON COLUMN {ANALYTICS}.<view>.<column> IS '...'; in one line",
    ),
}


@dataclass(frozen=True)
class Projection:
    """One read model. `events` is empty for one that reads every event of every context."""

    name: str
    meaning: str
    row: type
    row_id: Callable[[Any, Any], str]
    project: Callable[[Any, Any, Any], Any]
    events: tuple[type, ...]
    tables: str
    views: str
    definition: str
    file: str = ""  # its .sql, for errors

    @property
    def schema(self) -> str:
        return self.name

    @property
    def role(self) -> str:
        return f"weft_{self.name}"

    @property
    def key(self) -> str:
        """The column that names a row."""
        return self.columns[0]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(field.name for field in fields(self.row))

    @cached_property
    def column_types(self) -> tuple[str, ...]:
        hints = get_type_hints(self.row)
        return tuple(_sql_type(hints[name]) for name in self.columns)


def read_projection(module: ModuleType, schemas: Mapping[type, Node]) -> Projection:
    """The projection a module is; Unusable says what it lacks.

    Its definition is a hash of what decides its rows: its code, its tables, and the schemas of what it hears.
    """
    source = Path(str(module.__file__))
    missing = [name for name in ("project", "row_id") if not hasattr(module, name)]
    if missing or not source.with_suffix(".sql").exists():
        what = f"{' and '.join(missing)}()" if missing else f"its table beside it, {source.with_suffix('.sql').name}"
        raise Unusable(f"{source} is no read model: it lacks {what}")
    sql, file = source.with_suffix(".sql").read_text(), f"{module.__name__.replace('.', '/')}.sql"
    in_form(sql, file)
    name = module.__name__.rpartition(".")[2]
    tables, first, views = sql.partition("CREATE OR REPLACE VIEW")
    if not re.search(rf"^CREATE TABLE {name}\b", tables, re.MULTILINE):
        raise Unusable(f"{file}: write CREATE TABLE {name} in front of its views: rows are in a table of that name")
    row = next(t for t in parameter_types(module.project, 0) if t is not types.NoneType)
    events = parameter_types(module.project, 1)
    heard = () if events == (object,) else events
    decides = [sql.encode(), *(file.read_bytes() for file in (source, *_more(module)))]
    decides += [fingerprint(untagged(schemas[t])).encode() for t in heard]
    return Projection(
        name=name,
        meaning=(module.__doc__ or "").strip(),
        row=row,
        row_id=module.row_id,
        project=module.project,
        events=heard,
        tables=tables,
        views=first + views,
        definition=sha256(b"\0".join(decides)).hexdigest(),
        file=file,
    )


def in_form(sql: str, file: str) -> None:
    """Unusable names the first line that is not written as this module's docstring asks."""
    for number, line in enumerate(sql.splitlines(), 1):
        for begun, (whole, advice) in FORM.items():
            if begun.match(line) and not whole.match(line):
                raise Unusable(f"{file}, line {number}: {advice}")


def in_schema(views: str, schema: str) -> str:
    """The same views in another schema than `analytics`."""
    return re.sub(rf"\b{ANALYTICS}\.", f"{schema}.", views)


def _more(module: ModuleType) -> list[Path]:
    """The code of ours that a projection calls, where that decides a row too: what it names as `DECIDED_BY`."""
    return [Path(str(other.__file__)) for other in getattr(module, "DECIDED_BY", ())]


def _sql_type(hint: Any) -> str:
    plain = [part for part in get_args(hint) or (hint,) if part is not types.NoneType]
    return SQL_TYPES[plain[0]]
