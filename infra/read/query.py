"""Questions of analysts: asked as the read-only role, answered with what each column is."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pyarrow as pa

from infra.errors import Unreadable, Unusable
from infra.mesh import Mesh

TOKEN = re.compile(r"\w+\.events(\.\d+)?/\d+/\d+")
PARQUET: dict[str, pa.DataType] = {
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "numeric": pa.float64(),  # sums and averages; a decimal is an object to whoever reads the file
    "float4": pa.float32(),
    "float8": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", "UTC"),
    "timestamp": pa.timestamp("us"),
}


@dataclass(frozen=True)
class Answer:
    """Columns by name, what Postgres says they are, and the rows."""

    names: list[str]
    types: list[str]
    rows: Sequence[Sequence[Any]]


def token(mesh: Mesh, text: str) -> str:
    """A version token, as it is; Unreadable if it is none."""
    if not TOKEN.fullmatch(text):
        raise Unreadable("bad_token", f"{text!r} is no topic/partition/offset, as a receipt has it in last_event_id")
    mesh.context(text.partition(".")[0])
    return text


async def ask(db: asyncpg.Connection, mesh: Mesh, query: str) -> Answer:
    """What a query answers; Unusable has Postgres's words, and a hint."""
    try:
        statement = await db.prepare(query)
        rows = await statement.fetch()
    except asyncpg.PostgresError as error:
        raise _explained(mesh, error) from error
    attributes = statement.get_attributes()
    return Answer([a.name for a in attributes], [a.type.name for a in attributes], [tuple(row) for row in rows])


async def schemas_read(db: asyncpg.Connection, mesh: Mesh, query: str) -> set[str]:
    """The schemas of the tables and functions a query reads, from its plan."""
    try:
        plan = await db.fetchval(f"EXPLAIN (VERBOSE, FORMAT JSON) {query}")
    except asyncpg.PostgresError as error:
        raise _explained(mesh, error) from error
    return set(_schemas(json.loads(plan)))


def _schemas(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "Schema" in node and node["Schema"] != "pg_catalog":
            yield node["Schema"]
        for child in node.values():
            yield from _schemas(child)
    elif isinstance(node, list):
        for child in node:
            yield from _schemas(child)


def write_parquet(file: Path, answer: Answer) -> None:
    """Columns by what Postgres says they are; what Parquet has no equal for becomes text."""
    from pyarrow import parquet as pq  # a tenth of a second, that no other command needs

    columns = []
    for i, kind in enumerate(answer.types):
        values = [row[i] for row in answer.rows]
        if kind in PARQUET:
            values = [float(v) if isinstance(v, Decimal) else v for v in values]
            columns.append(pa.array(values, PARQUET[kind]))
        else:
            columns.append(pa.array([v if v is None else _text(v) for v in values], pa.string()))
    try:
        pq.write_table(pa.Table.from_arrays(columns, answer.names), file)
    except OSError as error:
        raise Unusable(f"cannot write {file}: {error}") from error


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(plain(value))


def _hint(mesh: Mesh, error: asyncpg.PostgresError) -> str:
    if isinstance(error, asyncpg.UndefinedTableError):
        return f"\nthere are: {', '.join(mesh.projections)}; columns: select * from ... limit 1"
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError | asyncpg.InsufficientPrivilegeError):
        return "\nanalysts read the views of the schema analytics, and nothing else"
    return ""


def _explained(mesh: Mesh, error: asyncpg.PostgresError) -> Unusable:
    return Unusable(f"{error.sqlstate} {error}" + _hint(mesh, error))


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return (
        int(value)
        if isinstance(value, Decimal) and value == value.to_integral()
        else float(value)
        if isinstance(value, Decimal)
        else str(value)
    )
