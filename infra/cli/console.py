"""What every command shares: where it prints, its settings, the mesh it is about, and how it ends."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from importlib.metadata import entry_points
from typing import Annotated, Any

from cyclopts import Parameter
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from infra.embedded.runfile import resolved
from infra.errors import Refusal, Unusable, WeftError
from infra.mesh import Mesh, load
from infra.ops.setup import deployed
from infra.read import postgres
from infra.settings import Settings

DONE, FAILED, USAGE, TIMED_OUT = 0, 1, 2, 3
WIDEST = 100_000  # columns of a line that is not shown on a terminal

Flag = Annotated[bool, Parameter(negative=())]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON lines.")]

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def whole(out: Console, table: Table) -> bool:
    """Print a table uncut; False if it is wider than the terminal, and was not printed."""
    needed = out.measure(table, options=out.options.update(max_width=WIDEST)).maximum
    if not out.is_terminal:
        out.width = max(out.width, needed)
    if needed > out.width:
        return False
    out.print(table)
    return True


def settings() -> Settings:
    """The settings from WEFT_*; a clear error for a variable that does not fit."""
    try:
        return Settings()
    except ValidationError as error:
        for e in error.errors(include_url=False):
            err.print(
                f"WEFT_{'_'.join(map(str, e['loc'])).upper()}={e['input']!r}: {e['msg']}", style="red", markup=False
            )
        sys.exit(USAGE)


def the_mesh(s: Settings) -> Mesh:
    """The mesh as the code has it: the one WEFT_MESH names, else the one that is installed."""
    if s.mesh is not None:
        return load(s.mesh)
    installed = [entry.value for entry in entry_points(group="weft", name="mesh")]
    if not installed:
        raise Unusable(
            "no mesh is installed: name one with WEFT_MESH=module:attribute, or install yours with an entry point `mesh` of the group `weft`"
        )
    return load(installed[0])


def at_hand() -> tuple[Settings, Mesh]:
    """The mesh as the code has it, and its settings: those of the instance that runs in WEFT_HOME where none are given."""
    s = settings()
    mesh = the_mesh(s)
    return resolved(s, mesh.outside), mesh


def reached() -> tuple[Settings, Mesh]:
    """The same of a mesh whose Kafka answers, as its cluster has it."""
    s, mesh = at_hand()
    return s, deployed(s, mesh)


def until_done(work: Coroutine[Any, Any, int | None]) -> int:
    """Run a command that waits for the mesh; Ctrl-C ends it quietly."""
    try:
        return asyncio.run(work) or DONE
    except KeyboardInterrupt:
        return 130


def guarded(command: Callable[[], Any]) -> int:
    """Run a command and turn what people can mend into one line on standard error."""
    try:
        result = command()
        return result if isinstance(result, int) else DONE
    except Refusal as error:
        err.print(f"{error.code}: {error.reason}", style="red", markup=False)
        return USAGE
    except WeftError as error:
        err.print(str(error), style="red", markup=False)
        return FAILED
    except postgres.Refusal as error:
        err.print(f"Postgres refuses: {error.sqlstate} {postgres.said(error)}", style="red", markup=False)
        return FAILED
    except postgres.BROKEN as error:
        err.print(f"the connection to Postgres broke: {error}; see `weft status`", style="red", markup=False)
        return FAILED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def agreed(question: str) -> bool:
    """What somebody at a terminal answers; no, if nobody is."""
    if not (sys.stdin.isatty() and out.is_terminal):
        return False
    try:
        return out.input(f"{question} [y/N] ", markup=False).strip().lower() in ("y", "yes")
    except EOFError:
        return False
