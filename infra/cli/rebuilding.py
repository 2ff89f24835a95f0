"""`weft rebuild` and `weft verify`: rows made anew from the log, and held against it."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from cyclopts import Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from infra.cli.console import DONE, FAILED, USAGE, Flag, Json, at_hand, err, out
from infra.errors import Stopped
from infra.mesh import Mesh
from infra.model.projection import Projection
from infra.ops.interrupts import stop_signals
from infra.ops.setup import deployed
from infra.read import verify as verification
from infra.read.rebuild import Rebuilt, Stage, asof, drop_former, roll_back
from infra.read.rebuild import rebuild as rebuild_one
from infra.read.rebuild.compare import Differences
from infra.read.verify import Verdict
from infra.settings import Settings

SAY_EVERY_S = 2.0


def rebuild(
    *names: str,
    all_: Annotated[bool, Parameter(name="--all", negative=())] = False,
    yes: Flag = False,
    rollback: Flag = False,
    drop_old: Flag = False,
    as_of: str | None = None,
    into: str | None = None,
    drop: str | None = None,
    json_: Json = False,
) -> int:
    """Replay topics into a shadow of a read model, compare it with the live one row by row, and swap. Nobody has to stop.

    The tables that were live stay as <name>_old: --rollback swaps back, --drop-old drops them. Ctrl-C stops at any moment,
    and the next run goes on from there. Exit 1 if differences were found and not accepted.

    Example: `weft rebuild orders`

    Example: `weft rebuild --all --yes`

    Example: `weft rebuild --all --as-of 2026-11-01T12:00Z --into november` makes a schema of its own and touches nothing else

    Example: `weft rebuild --drop november` drops that schema

    Parameters
    ----------
    names
        Read models, as `weft status` lists them.
    all_
        Every one of them.
    yes
        Swap also when something differs, without asking.
    rollback
        Call back the tables that were live before the last rebuild.
    drop_old
        Drop the tables that were live before.
    as_of
        A moment, in UTC unless it says otherwise: the read models as they stood then.
    into
        The schema to put them in, for analysts to query; the tables behind its views are in <schema>_rows.
    drop
        Drop a schema that --into made, or `weft sql --as-of`; what is none of them is told which there are.
    """
    s, mesh = at_hand()
    if drop is not None and not (names or all_ or rollback or drop_old or as_of or into):
        asyncio.run(asof.drop_made(s, drop))
        out.print(f"dropped {drop}", markup=False)
        return DONE
    wanted = None if drop is not None else _wanted(mesh, names, all_)
    if wanted is None or sum((rollback, drop_old, as_of is not None)) > 1 or (as_of is None) != (into is None):
        err.print(
            "name read models, or --all; and at most one of --rollback, --drop-old, and --as-of with --into; or --drop alone. "
            f"There are: {', '.join(mesh.projections)}",
            markup=False,
        )
        return USAGE
    if drop_old:
        dropped = asyncio.run(drop_former(s, wanted))
        out.print(f"dropped the former tables of {', '.join(dropped)}" if dropped else "there were none", markup=False)
        return DONE
    mesh = deployed(s, mesh)
    if rollback:
        for projection in wanted.values():
            asyncio.run(roll_back(s, mesh, projection))
            out.print(f"{projection.name}: the former tables are live again", markup=False)
        return DONE
    if as_of is not None and into is not None:
        return _as_of(s, mesh, list(wanted), as_of, into, json_)
    return _rebuild_all(s, mesh, list(wanted.values()), yes, json_)


def verify(*names: str, json_: Json = False) -> int:
    """Fold the log anew, one record at a time, and compare it with every row of the read models; check the log's own chain.

    Exit 1 if anything is wrong; each line says where.

    Example: `weft verify`

    Example: `weft verify orders sagas`

    Parameters
    ----------
    names
        Read models, as `weft status` lists them; all by default, and every log.
    """
    s, mesh = at_hand()
    wanted = _wanted(mesh, names, not names) or {}
    mesh = deployed(s, mesh)
    contexts = list(dict.fromkeys(c.name for p in wanted.values() for c in mesh.speakers(p)))
    total, done, wrong = len(wanted) + len(contexts), 0, False
    with stop_signals() as stopping:
        for verdict in verification.verify(s, mesh, list(wanted), contexts, os.cpu_count() or 1):
            done += 1
            wrong |= bool(verdict.wrong)
            if json_:
                out.print(json.dumps(asdict(verdict)), markup=False)
            else:
                _say_verdict(verdict, f"{done}/{total}")
            if stopping():
                return 130
    if not json_:
        out.print("something is wrong, see above" if wrong else "everything is what the log says", markup=False)
    return FAILED if wrong else DONE


def _say_verdict(verdict: Verdict, count: str) -> None:
    if verdict.rows is None:
        found = f"{verdict.records} records, {verdict.void} void"
    else:
        found = f"{verdict.rows} rows of {verdict.records} records" + (
            f", {verdict.behind} not read yet" if verdict.behind else ""
        )
    out.print(f"{count:>6}  {verdict.name}: {'WRONG, ' if verdict.wrong else ''}{found}", markup=False)
    for line in verdict.wrong:
        out.print(f"        {line}", style="red", markup=False)
    sys.stdout.flush()


def _wanted(mesh: Mesh, names: tuple[str, ...], all_: bool) -> dict[str, Projection] | None:
    if bool(names) == all_:
        return None
    return {name: mesh.projection(name) for name in names or mesh.projections}


def _rebuild_all(s: Settings, mesh: Mesh, projections: list[Projection], yes: bool, as_json: bool) -> int:
    refused = False
    with stop_signals() as stopping, progress_of(as_json) as progress:
        stage = Stage(
            say=progress.say,
            progress=progress.show,
            stopping=stopping,
            may_swap=lambda p, d: yes or progress.ask(p, d),
        )
        for projection in projections:
            try:
                done = asyncio.run(rebuild_one(s, mesh, projection, stage))
            except Stopped as error:
                progress.say(str(error))
                return 130
            refused |= not done.swapped
            _say_rebuilt(done, as_json, progress.say)
    return FAILED if refused else DONE


def _as_of(s: Settings, mesh: Mesh, names: list[str], as_of: str, into: str, as_json: bool) -> int:
    at = asof.moment(as_of)
    with stop_signals() as stopping, progress_of(as_json) as progress:
        try:
            rows = asyncio.run(asof.build(s, mesh, names, at, into, stage_of(progress, stopping)))
        except Stopped as error:
            progress.say(str(error))
            return 130
    warn_of_open(s, mesh, names, at)
    if as_json:
        out.print(json.dumps({"schema": into, "as_of": at.isoformat(), "rows": rows}), markup=False)
    else:
        out.print(f"{rows} rows as of {at.isoformat()}; analysts find them in the schema {into}", markup=False)
    return DONE


def stage_of(progress: "Plain", stopping: Callable[[], bool]) -> Stage:
    """A stage on which nothing is to be decided."""
    return Stage(progress.say, progress.show, stopping, lambda p, d: False)


def warn_of_open(s: Settings, mesh: Mesh, names: Iterable[str], at: datetime) -> None:
    """Say whose commands of that time are not decided yet."""
    speakers = {c.name: c for name in names for c in mesh.speakers(mesh.projection(name))}
    if waiting := asof.still_open(s, speakers.values(), at):
        err.print(
            f"{', '.join(waiting)} has not decided everything that was posted by then: what it still decides may be of that time",
            style="yellow",
            markup=False,
        )


def _say_rebuilt(done: Rebuilt, as_json: bool, say: Callable[[str], None]) -> None:
    if as_json:
        out.print(json.dumps(asdict(done), default=str), markup=False)
        return
    if done.differences:
        for line in done.differences.lines():
            say(f"{done.projection}: {line}")
    compared = "there was nothing to compare with" if done.differences is None else "as the live rows were"
    found = f"{done.rows} rows of {done.records} records in {done.seconds:.1f} s"
    if not done.swapped:
        say(f"{done.projection}: {found}, not swapped; `weft rebuild {done.projection} --yes` does, from where it is")
    elif done.differences:
        say(f"{done.projection}: {found}, swapped; `weft rebuild {done.projection} --rollback` swaps back")
    else:
        say(f"{done.projection}: {found}, {compared}, swapped")


class Plain:
    """Lines, for a pipe; nothing but results for --json."""

    def __init__(self, silent: bool) -> None:
        self._silent = silent
        self._said = self._began = time.monotonic()
        self._what = ""

    def say(self, text: str) -> None:
        if not self._silent:
            out.print(text, markup=False)
            sys.stdout.flush()

    def show(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self._what:
            self._what, self._began = what, now
        if now - self._said >= SAY_EVERY_S and done:
            self._said = now
            rate = done / max(now - self._began, 0.001)
            self.say(f"{what}: {done} of {total} records, {rate:,.0f}/s, {(total - done) / rate:.0f} s left")

    def ask(self, projection: Projection, differences: Differences) -> bool:
        return False  # nobody is there to answer; what differs is said with the result


class Bar(Plain):
    """A bar a projection, on a terminal."""

    def __init__(self, bars: Progress) -> None:
        super().__init__(silent=False)
        self._bars = bars
        self._tasks: dict[str, Any] = {}

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)

    def show(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        task = self._tasks[what]
        speed = self._bars.tasks[task].speed or 0
        self._bars.update(task, completed=done, total=total, description=f"{what} {speed:,.0f}/s")

    def ask(self, projection: Projection, differences: Differences) -> bool:
        self._bars.stop()
        for line in differences.lines():
            self.say(f"{projection.name}: {line}")
        try:
            answer = self._bars.console.input(f"swap {projection.name} all the same? [y/N] ", markup=False)
        except EOFError:
            answer = ""
        self._bars.start()
        return answer.strip().lower() in ("y", "yes")


@contextmanager
def progress_of(silent: bool) -> Iterator[Plain]:
    if silent or not out.is_terminal:
        yield Plain(silent)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True) as bars:
        yield Bar(bars)
