"""`weft sql`: questions to the read models, as they are, once they have caught up, or as they stood."""

import asyncio
import csv
import json
import sys
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import pyarrow as pa
from cyclopts import Parameter
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from infra import analytics, mesh, postgres, topics
from infra.cli import DONE, TIMED_OUT, USAGE, err, out, settings, until_done, whole
from infra.cli.rebuilding import progress_of, stage_of, warn_of_open
from infra.errors import Unusable
from infra.interrupts import stop_signals
from infra.rebuild import asof
from infra.rebuild.bulk import Stopped
from infra.runfile import resolved
from infra.settings import Settings, address

Json = Annotated[bool, Parameter(name="--json", negative=())]
PARQUET: dict[str, pa.DataType] = {
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", "UTC"),
    "timestamp": pa.timestamp("us"),
}


def sql(
    query: str,
    /,
    *,
    as_of: str | None = None,
    after: str | None = None,
    timeout: float = 10.0,
    json_: Json = False,
    csv_: Annotated[bool, Parameter(name="--csv", negative=())] = False,
    parquet: Path | None = None,
) -> int:
    """A query as the analysts' read-only role: the views of the schema analytics, as a table, JSON lines, CSV or Parquet.

    Example: `weft sql "select outcome, count(*) from sagas group by 1"`

    Example: `weft sql --as-of 2026-11-01T12:00Z "select status, count(*) from orders group by 1"`

    Example: `weft sql --after orders.events/0/42 "select * from orders"`

    Parameters
    ----------
    as_of
        A moment, in UTC unless it says otherwise: ask the read model as it stood then. It is made from the log, and kept.
    after
        A version token, as `weft send --wait` and receipts have it: wait until what the query reads has read that event.
    timeout
        Seconds to wait for it.
    parquet
        A file to write instead of printing.
    """
    if sum((json_, csv_, parquet is not None)) > 1 or (as_of and after):
        err.print("at most one of --json, --csv and --parquet, and of --as-of and --after", markup=False)
        return USAGE
    s = resolved(settings())
    into = _as_of(s, query, as_of) if as_of else None
    if as_of and into is None:
        return 130

    async def ask() -> int:
        async with postgres.connection(postgres.analyst(address(s, "postgres"))) as db:
            if into is not None:
                await db.execute(f"SET search_path = {into}")
                if live := await _read_schemas(db, query) - {asof.tables_of(into)}:
                    raise Unusable(
                        f"the query names {', '.join(sorted(live))} by schema, which is what is now: leave `analytics.` out of it"
                    )
            if after is not None:
                for name in await _read_schemas(db, query) & mesh.projections().keys():
                    if not await db.fetchval(
                        "SELECT wait_for($1, $2, make_interval(secs => $3))", after, name, timeout
                    ):
                        err.print(f"{name} has not read {after} within {timeout:g} s; see `weft status`", markup=False)
                        return TIMED_OUT
            try:
                statement = await db.prepare(query)
                rows = await statement.fetch()
            except asyncpg.PostgresError as error:
                raise Unusable(f"{error.sqlstate} {error}" + _hint(error)) from error
            attributes = statement.get_attributes()
        names = [a.name for a in attributes]
        if parquet is not None:
            _write_parquet(parquet, names, [a.type.name for a in attributes], rows)
            out.print(f"{len(rows)} rows are in {parquet}", markup=False)
        else:
            _say_rows(names, [tuple(row) for row in rows], json_, csv_)
        return DONE

    return until_done(ask())


def _as_of(s: Settings, query: str, as_of: str) -> str | None:
    """Make what the query reads as it stood, unless it is kept already; the schema it is in, or None if somebody interrupts."""
    at = asof.moment(as_of)
    topics.admin(s)
    into = asof.schema_of(at)

    async def names() -> list[str]:
        async with postgres.connection(postgres.analyst(address(s, "postgres"))) as db:
            read = await _read_schemas(db, query)
        return [name for name in mesh.projections() if name in read or analytics.SCHEMA in read]

    wanted = asyncio.run(names())
    with stop_signals() as stopping, progress_of(not err.is_terminal) as progress:
        try:
            asyncio.run(asof.build(s, wanted, at, into, stage_of(progress, stopping)))
        except Stopped as error:
            err.print(str(error), markup=False)
            return None
    asyncio.run(asof.drop_unused(s))
    warn_of_open(s, wanted, at)
    return into


async def _read_schemas(db: asyncpg.Connection, query: str) -> set[str]:
    """The schemas of the tables and functions a query reads, from its plan."""
    try:
        plan = await db.fetchval(f"EXPLAIN (VERBOSE, FORMAT JSON) {query}")
    except asyncpg.PostgresError as error:
        raise Unusable(f"{error.sqlstate} {error}" + _hint(error)) from error
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


def _write_parquet(file: Path, names: list[str], types: list[str], rows: list[asyncpg.Record]) -> None:
    """Columns by what Postgres says they are; what Parquet has no equal for becomes text."""
    from pyarrow import parquet as pq  # a tenth of a second, that no other command needs

    columns = []
    for i, kind in enumerate(types):
        values = [row[i] for row in rows]
        if kind == "numeric":
            columns.append(
                pa.array(values) if any(v is not None for v in values) else pa.nulls(len(values), pa.int64())
            )
        elif kind in PARQUET:
            columns.append(pa.array(values, PARQUET[kind]))
        else:
            columns.append(pa.array([v if v is None else _text(v) for v in values], pa.string()))
    try:
        pq.write_table(pa.Table.from_arrays(columns, names), file)
    except OSError as error:
        raise Unusable(f"cannot write {file}: {error}") from error


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(_plain(value))


def _hint(error: asyncpg.PostgresError) -> str:
    if isinstance(error, asyncpg.UndefinedTableError):
        return f"\nthere are: {', '.join(mesh.projections())}; columns: select * from ... limit 1"
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError | asyncpg.InsufficientPrivilegeError):
        return "\nanalysts read the views of the schema analytics, and nothing else"
    return ""


def _say_rows(names: list[str], rows: list[tuple[Any, ...]], as_json: bool, as_csv: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps(dict(zip(names, row, strict=True)), default=_plain))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(
            [["" if v is None else _plain(v) if isinstance(v, datetime | Decimal) else v for v in row] for row in rows]
        )
    else:
        _say_table(names, [[_cell(value) for value in row] for row in rows])


def _say_table(names: list[str], rows: list[list[Text]]) -> None:
    """A table, or where that is wider than the terminal each row as a list of its columns, as psql's `\\x auto` does."""
    table = Table(*map(escape, names), box=None)
    for row in rows:
        table.add_row(*row)
    if not whole(out, table):
        for number, row in enumerate(rows, 1):
            record = Table(Column(style="bold"), Column(overflow="fold"), box=None, show_header=False)
            for name, value in zip(names, row, strict=True):
                record.add_row(escape(name), value)
            out.print(f"-- {number}", record)
    out.print(f"({len(rows)} row{'' if len(rows) == 1 else 's'})")


def _cell(value: Any) -> Text:
    return Text("" if value is None else f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return (
        int(value)
        if isinstance(value, Decimal) and value == value.to_integral()
        else float(value)
        if isinstance(value, Decimal)
        else str(value)
    )
