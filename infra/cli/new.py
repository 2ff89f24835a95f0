"""Write the first version of something new, with tests that pass: to be read, and then edited.

Example: `weft new context shipping --aggregate parcel --hears orders.OrderPaid`
"""

import sys
from pathlib import Path

from cyclopts import App

from infra.cli.console import DONE, out, settings, the_mesh
from infra.ops.draft.context import context as draft_context
from infra.ops.draft.files import Draft
from infra.ops.draft.message import Kind, message
from infra.ops.draft.names import singular

FREE = """Now make it say what you mean. Names and fields are free until something is in its topics: edit them, then
`git checkout schemas/lock.json` and `weft schemas lock`."""

new = App(name="new", help=__doc__)


@new.command
def context(name: str, /, *, aggregate: str | None = None, hears: str | None = None) -> int:
    """Write a context: a command, an event, what decides, a read model, schemas with ids, and tests that pass.

    Nothing that is there is changed but the schemas' lock, and the list of events in CHANGELOG.md. If anything is in the
    way, nothing is written.

    Example: `weft new context invoices`

    Example: `weft new context shipping --aggregate parcel --hears orders.OrderPaid`

    Parameters
    ----------
    name
        What it is called: its modules, topics and tables.
    aggregate
        What it is about, in the singular. Derived from the name if it is not given.
    hears
        An event of another context: whenever that happens, its policy asks for one.
    """
    s = settings()
    draft = draft_context(s, the_mesh(s), name, aggregate or singular(name), hears)
    draft.write()
    _say(draft)
    told = f", and tells it all that ever happened in {hears.partition('.')[0]}" if hears else ""
    out.print(f"\nIts tests pass; `weft map` shows it, `weft up` runs it{told}.\n{FREE}", markup=False)
    return DONE


@new.command
def command(name: str, /, *fields: str, aggregate: str | None = None, own: bool = False) -> int:
    """Write a command of a context: its dataclass, its place in the unions, and its schema with an id.

    Example: `weft new command orders.ReturnOrder reason:str parcels:int`

    Parameters
    ----------
    name
        Context and command.
    fields
        NAME:TYPE each, behind the aggregate's id; a type is str, int, bool or float.
    aggregate
        Whose, if the context has several: what the module of its decider is called.
    own
        Only the context itself asks it: its policy, its effects, or its clock.
    """
    decider = _write_message("command", name, fields, aggregate, own)
    context, _, short = name.partition(".")
    out.print(
        f"\nNow say what comes of it: `case {short}()` in decide() of {decider}, and an example in"
        f" tests/{context}/examples.py. tests/test_commands.py names it until it does something.",
        markup=False,
    )
    return DONE


@new.command
def event(name: str, /, *fields: str, aggregate: str | None = None) -> int:
    """Write an event of a context: its dataclass, its place in the union, and its schema with an id.

    Example: `weft new event orders.OrderReturned reason:str parcels:int`

    Parameters
    ----------
    name
        Context and event.
    fields
        NAME:TYPE each, behind the aggregate's id; a type is str, int, bool or float.
    aggregate
        Whose, if the context has several: what the module of its decider is called.
    """
    decider = _write_message("event", name, fields, aggregate)
    out.print(
        f"\nNow fold it: `case {name.partition('.')[2]}()` in evolve() of {decider}, and where a read model hears all"
        " events of this kind. mypy names each place until it is there.",
        markup=False,
    )
    return DONE


def _write_message(kind: Kind, name: str, fields: tuple[str, ...], aggregate: str | None, own: bool = False) -> Path:
    """Write it, and say so; returns the module of its decider."""
    draft, of = message(the_mesh(settings()), kind, name, fields, aggregate, own=own)
    draft.write()
    _say(draft)
    return _near(Path(str(sys.modules[of.decide.__module__].__file__)))


def _say(draft: Draft) -> None:
    for what, files in (("wrote", draft.new), ("changed", draft.changed)):
        for file in sorted(files):
            out.print(f"{what:7} {_near(file)}", markup=False)


def _near(file: Path) -> Path:
    """The path as one would type it here."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
