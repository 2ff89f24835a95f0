"""`weft effects`: what is wanted of the outside and open, and what a person does about it."""

import json
import sys
from typing import Annotated

from cyclopts import App, Parameter
from rich.markup import escape
from rich.table import Table

from infra.cli.console import DONE, FAILED, TIMED_OUT, Flag, Json, err, out, reached
from infra.errors import Unusable
from infra.mesh import Mesh
from infra.ops.effects import Open, Outside, given_up, outcome_in

MAX_REASON = 200

effects = App(
    name="effects",
    help="""What is wanted of the outside and not done yet: what is tried in vain, and what nobody tries any more by itself.

    Example: `weft effects list`
    """,
)


@effects.command(name="list")
def list_(
    context: str | None = None,
    /,
    *,
    all_: Annotated[bool, Parameter(name="--all", negative=())] = False,
    json_: Json = False,
) -> int:
    """What is parked, or was tried in vain, in CONTEXT or in every one; with --all everything that is open. Exit 1 if any is parked.

    Example: `weft effects list payments`

    Parameters
    ----------
    context
        Whose effects; every context's by default.
    all_
        Also what has just been asked for.
    """
    s, mesh = reached()
    chosen = [mesh.context(context)] if context else [c for c in mesh.contexts.values() if c.connect]
    found = [wish for c in chosen for wish in Outside(s, mesh, c).open() if all_ or wish.state != "open"]
    if json_:
        for wish in found:
            print(json.dumps(wish.shown()))
    else:
        _table(found)
    return FAILED if any(wish.state == "parked" for wish in found) else DONE


def _table(found: list[Open]) -> None:
    table = Table("context", "key", "of", "wants", "target", "state", "since", "tries", "said", box=None)
    out.width = out.width if out.is_terminal else 250
    for wish in found:
        row = (wish.context, wish.key, wish.subject, wish.wanted, wish.target, wish.state, wish.since, str(wish.tries))
        table.add_row(*map(escape, (*row, wish.said)))
    out.print(table)
    parked = sum(wish.state == "parked" for wish in found)
    out.print(
        f"({parked} are parked; `weft effects show`, `retry`, `answer` or `give-up` is next)"
        if parked
        else "(nothing is parked)",
        markup=False,
    )


@effects.command
def show(context: str, key: str, /, *, json_: Json = False) -> int:
    """One of them whole: what exactly is wanted, since when, how often it was tried here and what was said last.

    Example: `weft effects show payments payments.events/0/42`

    Parameters
    ----------
    context
        Whose effect it is.
    key
        Its key, as `weft effects list` has it.
    """
    _, outside = _outside(context)
    wish = outside.find(key)
    if json_:
        print(json.dumps(wish.shown() | {"content": wish.content()}))
        return DONE
    for name, value in (wish.shown() | wish.content()).items():
        out.print(f"{name:16} {value}", markup=False)
    return DONE


@effects.command
def retry(context: str, /, *keys: str) -> int:
    """Have what is open in CONTEXT tried again within seconds: these KEYS, or all. What was parked has another day.

    Example: `weft effects retry payments`

    Parameters
    ----------
    context
        Whose effects.
    keys
        Only these; all by default.
    """
    _, outside = _outside(context)
    known = {wish.key for wish in outside.open()}
    if idle := sorted(set(keys) - known):
        raise Unusable(f"{', '.join(idle)}: not open; `weft effects list {context} --all` names what is")
    if not known:
        out.print("nothing is open", markup=False)
        return DONE
    outside.retry(keys)
    out.print(f"{len(set(keys)) or len(known)} will be tried again by the workers of {context}", markup=False)
    return DONE


@effects.command
def answer(context: str, key: str, type: str, payload: str, /, *, yes: Flag = False, timeout: float = 30.0) -> int:
    """Say yourself what came of it, with a command that CONTEXT asks itself. Exit 3 if it is not decided in time.

    Example: `weft effects answer payments payments.events/0/42 payments.RecordGatewayOutcome '{"step": "capture", "ok": true, ...}'`

    Parameters
    ----------
    context
        Whose effect it is.
    key
        Its key, as `weft effects list` has it.
    type
        The command's type.
    payload
        What it says, in JSON; the aggregate's id may be left out.
    yes
        Do not ask.
    timeout
        Seconds to wait until it is decided.
    """
    mesh, outside = _outside(context)
    wish = outside.find(key)
    return _post(outside, wish, outcome_in(mesh, outside.context, wish, type, payload), yes, timeout)


@effects.command(name="give-up")
def give_up(context: str, key: str, /, *, reason: str, yes: Flag = False, timeout: float = 30.0) -> int:
    """Have CONTEXT go on as if the outside had refused. Look there first: it may have been done. Exit 3 if it is not decided in time.

    Example: `weft effects give-up payments payments.events/0/42 --reason "the gateway never heard of it"`

    Parameters
    ----------
    context
        Whose effect it is.
    key
        Its key, as `weft effects list` has it.
    reason
        Why, for whoever reads the log.
    yes
        Do not ask.
    timeout
        Seconds to wait until it is decided.
    """
    _, outside = _outside(context)
    wish = outside.find(key)
    return _post(outside, wish, given_up(outside.context, wish, reason[:MAX_REASON]), yes, timeout)


def _post(outside: Outside, wish: Open, outcome: object, yes: bool, timeout: float) -> int:
    if not yes and not _agreed(f"answer {wish.wanted} of {wish.subject} with {outcome}?"):
        err.print("nothing was posted; `--yes` does not ask", markup=False)
        return FAILED
    became = outside.answer(wish, outcome, timeout)
    out.print(f"{wish.key}: {became or f'posted, and not decided within {timeout:g} s'}", markup=False)
    return DONE if became else TIMED_OUT


def _agreed(question: str) -> bool:
    if not (sys.stdin.isatty() and out.is_terminal):
        return False
    try:
        return out.input(f"{question} [y/N] ", markup=False).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _outside(context: str) -> tuple[Mesh, Outside]:
    s, mesh = reached()
    return mesh, Outside(s, mesh, mesh.context(context))
