"""`weft`: how people meet the mesh. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 timed out."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from cyclopts import App, CycloptsError
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from infra.errors import Unreadable, WeftError
from infra.settings import Settings

DONE, FAILED, USAGE, TIMED_OUT = 0, 1, 2, 3
WIDEST = 100_000  # columns of a line that is not shown on a terminal
WRITTEN = {"--wait=projected": "--wait-projected"}  # cyclopts has no flag that may take a value

app = App(
    name="weft",
    help="An event-sourced, asynchronous-only service mesh: Kafka is the truth, Postgres is a fold of it.",
    version_flags=["--version"],
    help_format="markdown",
)
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


def reached() -> Settings:
    """The settings of a mesh whose Kafka answers; from then on this process knows which topics were grown."""
    from infra import topics  # clients of Kafka, which not every command needs
    from infra.runfile import resolved

    s = resolved(settings())
    topics.admin(s)
    return s


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
    except Unreadable as error:
        err.print(f"{error.code}: {error.reason}", style="red", markup=False)
        return USAGE
    except WeftError as error:
        err.print(str(error), style="red", markup=False)
        return FAILED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _register() -> None:
    from infra.cli import asking, dead, looking, querying, rebuilding, running, topics

    commands: list[Callable[..., Any]] = [
        *(
            running.demo,
            running.up,
            running.status,
            running.down,
            running.setup,
            running.run,
            running.bench,
            running.key,
            running.webhooks,
        ),
        rebuilding.rebuild,
        rebuilding.verify,
        *(
            asking.send,
            asking.receipt,
            looking.watch,
            looking.log,
            querying.sql,
            looking.mail,
            looking.catalog,
            looking.export,
        ),
    ]
    for command in commands:
        app.command(command)
    app.command(looking.map_, name="map")
    app.command(looking.schemas)
    app.command(dead.dead)
    app.command(topics.topics)


def main() -> NoReturn:
    """The entry point."""
    _register()

    def command() -> Any:
        try:
            tokens = [WRITTEN.get(token, token) for token in sys.argv[1:]]
            return app(tokens, exit_on_error=False, result_action="return_value")
        except CycloptsError:
            return USAGE

    sys.exit(guarded(command))
