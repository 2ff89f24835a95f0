"""What a projection is made of: a row, how an event changes it, and its tables; read from a module's annotations.

A projection module has a frozen dataclass of its row (first field: the row's id, fields: the columns), `row_id(event, meta)`
and `project(row, event, meta) -> row | None`. Its table and indexes are in the .sql beside it, and behind them the views that
analysts see: dropped and replayed, never migrated.
"""

import types
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

from infra.context import parameter_types

SQL_TYPES: dict[type, str] = {
    str: "text",
    int: "bigint",
    bool: "boolean",
    float: "double precision",
    datetime: "timestamptz",
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


def read_projection(module: ModuleType) -> Projection:
    """The projection a module is; its definition is a hash of its code and its tables, so a change of either is seen."""
    source = Path(str(module.__file__))
    sql = source.with_suffix(".sql").read_text()
    tables, first, views = sql.partition("CREATE OR REPLACE VIEW")
    row = next(t for t in parameter_types(module.project, 0) if t is not types.NoneType)
    events = parameter_types(module.project, 1)
    return Projection(
        name=module.__name__.rpartition(".")[2],
        meaning=(module.__doc__ or "").strip(),
        row=row,
        row_id=module.row_id,
        project=module.project,
        events=() if events == (object,) else events,
        tables=tables,
        views=first + views,
        definition=sha256(source.read_bytes() + sql.encode()).hexdigest(),
    )


def _sql_type(hint: Any) -> str:
    plain = [part for part in get_args(hint) or (hint,) if part is not types.NoneType]
    return SQL_TYPES[plain[0]]
