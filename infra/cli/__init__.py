"""`weft`: how people meet the mesh. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 timed out."""

import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points, version
from typing import Any, NoReturn

from cyclopts import App, CycloptsError
from stamina.instrumentation import set_on_retry_hooks

from infra.cli.console import USAGE, guarded
from infra.errors import WeftError
from infra.mesh import application_code, imported

WRITTEN = {"--wait=projected": "--wait-projected"}  # cyclopts has no flag that may take a value

app = App(
    name="weft",
    help="An event-sourced, asynchronous-only service mesh: Kafka is the truth, Postgres is a fold of it.",
    version=lambda: version("weft"),
    version_flags=["--version"],
    help_format="markdown",
)


@cache
def _register() -> WeftError | None:
    """Every command; returns what keeps the application's from being loaded."""
    from infra.cli import asking, dead, effects, looking, new, querying, rebuilding, running, topics

    commands: list[Callable[..., Any]] = [
        *(
            running.up,
            running.status,
            running.down,
            running.setup,
            running.run,
            running.key,
            running.webhooks,
        ),
        rebuilding.rebuild,
        rebuilding.verify,
        dead.skip,
        *(
            asking.send,
            asking.receipt,
            looking.watch,
            looking.log,
            querying.sql,
            looking.catalog,
            looking.export,
        ),
    ]
    for command in commands:
        app.command(command)
    app.command(looking.map_, name="map")
    app.command(looking.schemas)
    app.command(dead.dead)
    app.command(effects.effects)
    app.command(topics.topics)
    app.command(new.new)
    try:
        for extension in entry_points(group="weft", name="commands"):  # what an application adds
            with application_code(extension.module):
                getattr(imported(extension.module), extension.attr)(app)
    except WeftError as error:
        return error
    return None


def main() -> NoReturn:
    """The entry point."""

    def command() -> Any:
        try:
            unloaded = _register()
            tokens = [WRITTEN.get(token, token) for token in sys.argv[1:]]
            if unloaded is not None and not {*tokens[:1]} <= {*app}:
                raise unloaded  # what is asked may be the application's to do
            return app(tokens, exit_on_error=False, result_action="return_value")
        except CycloptsError:
            return USAGE

    set_on_retry_hooks(())  # who tries again says so, and not with all the settings it was called with
    sys.exit(guarded(command))
