"""`weft sql`: questions to the read models, as they are, once they have caught up, or as they stood."""

import asyncio
import csv
import json
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from infra.cli.console import (
    DONE,
    TIMED_OUT,
    USAGE,
    Json,
    at_hand,
    err,
    out,
    reached,
    until_done,
    whole,
)
from infra.cli.rebuilding import progress_of, stage_of, warn_of_open
from infra.errors import Stopped, Unusable
from infra.mesh import Mesh
from infra.model.projection import ANALYTICS
from infra.ops.interrupts import stop_signals
from infra.read import postgres
from infra.read import query as analysts
from infra.read.query import Answer, plain
from infra.read.rebuild import asof
from infra.settings import Settings, address


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
    query
        One statement that reads, in the words of Postgres.
    as_of
        A moment, in UTC unless it says otherwise: ask the read model as it stood then. It is made from the log, and kept.
    after
        A version token, as `weft send --wait` and receipts have it: wait until what the query reads has read that event.
    timeout
        Seconds to wait for it.
    csv_
        Print CSV, with a header.
    parquet
        A file to write instead of printing.
    """
    if sum((json_, csv_, parquet is not None)) > 1 or (as_of and after):
        err.print("at most one of --json, --csv and --parquet, and of --as-of and --after", markup=False)
        return USAGE
    s, mesh = reached() if as_of else at_hand()
    if after is not None:
        analysts.token(mesh, after)
    into = _as_of(s, mesh, query, as_of) if as_of else None
    if as_of and into is None:
        return 130

    async def ask() -> int:
        async with postgres.connection(postgres.analyst(address(s, "postgres"))) as db:
            if into is not None:
                await db.execute(f"SET search_path = {into}")
                if live := await analysts.schemas_read(db, mesh, query) - {asof.tables_of(into)}:
                    raise Unusable(
                        f"the query names {', '.join(sorted(live))} by schema, which is what is now: leave `analytics.` out of it"
                    )
            if after is not None:
                for name in await analysts.schemas_read(db, mesh, query) & mesh.projections.keys():
                    if not await db.fetchval(
                        "SELECT wait_for($1, $2, make_interval(secs => $3))", after, name, timeout
                    ):
                        err.print(f"{name} has not read {after} within {timeout:g} s; see `weft status`", markup=False)
                        return TIMED_OUT
            answer = await analysts.ask(db, mesh, query)
        if parquet is not None:
            analysts.write_parquet(parquet, answer)
            out.print(f"{len(answer.rows)} rows are in {parquet}", markup=False)
        else:
            _say_rows(answer, json_, csv_)
        return DONE

    return until_done(ask())


def _as_of(s: Settings, mesh: Mesh, query: str, as_of: str) -> str | None:
    """Make what the query reads as it stood, unless it is kept already; the schema it is in, or None if somebody interrupts."""
    at = asof.moment(as_of)
    into = asof.schema_of(at)

    async def names() -> list[str]:
        async with postgres.connection(postgres.analyst(address(s, "postgres"))) as db:
            read = await analysts.schemas_read(db, mesh, query)
        return [name for name in mesh.projections if name in read or ANALYTICS in read]

    wanted = asyncio.run(names())
    with stop_signals() as stopping, progress_of(not err.is_terminal) as progress:
        try:
            asyncio.run(asof.build(s, mesh, wanted, at, into, stage_of(progress, stopping)))
        except Stopped as error:
            err.print(str(error), markup=False)
            return None
    asyncio.run(asof.drop_unused(s))
    warn_of_open(s, mesh, wanted, at)
    return into


def _say_rows(answer: Answer, as_json: bool, as_csv: bool) -> None:
    names, rows = answer.names, answer.rows
    if as_json:
        for row in rows:
            print(json.dumps(dict(zip(names, row, strict=True)), default=plain))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(
            [["" if v is None else plain(v) if isinstance(v, datetime | Decimal) else v for v in row] for row in rows]
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
    if isinstance(value, datetime):
        return Text(f"{value:%Y-%m-%d %H:%M:%S.%f}"[:-3])
    return Text("" if value is None else str(value))
