"""`weft dead`: commands that could not be processed, and those that wait behind them."""

import json
from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.markup import escape
from rich.table import Table

from infra.cli.console import DONE, FAILED, Flag, Json, agreed, out, reached
from infra.errors import Unusable
from infra.kafka import reading
from infra.kafka.inbound import gauging
from infra.ops.dead import OPEN, Letter, Office
from infra.ops.skip import next_command
from infra.ops.skip import skip as pass_by
from infra.settings import address
from infra.wire.envelope import ID, TYPE, Way
from infra.wire.record import place_of, when

dead = App(
    name="dead",
    help="""Commands that could not be processed, and the later ones of their keys, in order.

    Example: `weft dead list`
    """,
)


@Parameter(name="*")
@dataclass(frozen=True)
class Which:
    """Which of the letters that have one id: anybody may give any.

    Parameters
    ----------
    key
        The one of this key.
    way
        The one that came by this way: commands, or own.
    place
        The one that is kept here, as `weft dead show` says it.
    """

    key: str | None = None
    way: Literal["commands", "own"] | None = None
    place: str | None = None

    def is_met_by(self, letter: Letter) -> bool:
        return all(said in (None, getattr(letter, name)) for name, said in vars(self).items())


ANY = Which()


@dead.command(name="list")
def list_(
    context: str | None = None,
    /,
    *,
    all_: Annotated[bool, Parameter(name="--all", negative=())] = False,
    json_: Json = False,
) -> int:
    """What waits in CONTEXT, or in every one; with --all also what was processed or discarded since.

    Example: `weft dead list orders`

    Parameters
    ----------
    context
        Whose dead letters; every context's by default.
    all_
        Show what was processed or discarded since, too.
    """
    s, mesh = reached()
    found: list[Letter] = []
    for name in [context] if context else mesh.contexts:
        found += Office(s, mesh, mesh.context(name)).letters()
    shown = [letter for letter in found if all_ or letter.status not in ("processed", "discarded")]
    if json_:
        for letter in shown:
            print(json.dumps(letter.shown()))
        return DONE
    table = Table("context", "key", "id", "way", "command", "status", "code", "reason", "since", box=None)
    out.width = out.width if out.is_terminal else 250
    for letter in shown:
        row = (
            letter.context,
            letter.key,
            letter.id,
            letter.way,
            letter.type,
            letter.status,
            letter.code,
            letter.reason,
        )
        table.add_row(*map(escape, (*row, letter.at)))
    out.print(table)
    waiting = sum(letter.status in OPEN for letter in shown)
    out.print(
        f"({waiting} wait; `weft dead show`, `redrive` or `discard` is next)" if waiting else "(nothing waits)",
        markup=False,
    )
    return DONE


@dead.command
def show(context: str, id: str, /, *, which: Which = ANY, json_: Json = False) -> int:
    """One letter whole: headers, content, and what happened to it.

    Example: `weft dead show orders place-17`

    Parameters
    ----------
    context
        Whose dead letter it is.
    id
        Its id, as `weft dead list` has it.
    """
    office = _office(context)
    letter = _find(office, office.letters(), id, which)
    value = letter.record.value or b""
    headers = {name: (content or b"").decode(errors="replace") for name, content in letter.record.headers}
    if json_:
        content = {
            **letter.shown(),
            "headers": headers,
            "value": value.decode(errors="replace"),
            "history": office.history(letter),
        }
        print(json.dumps(content))
        return DONE
    for name, text in (letter.shown() | headers).items():
        out.print(f"{name:26} {text}", markup=False)
    out.print(
        f"{'value':26} {value[:2000].decode(errors='replace')}" + (" ..." if len(value) > 2000 else ""), markup=False
    )
    for line in office.history(letter):
        out.print(f"{'happened':26} {line}", markup=False)
    return DONE


@dead.command
def redrive(context: str, /, *keys: str, timeout: float = 30.0) -> int:
    """Send what waits in CONTEXT again, in order and under its own ids: of these KEYS, or of all. Exit 1 if any is still kept.

    Old schemas are read as what they mean today. To mend a command instead, send it again under its id: `weft send --id`.

    Example: `weft dead redrive orders order-17`

    Parameters
    ----------
    context
        Whose dead letters.
    keys
        Only of these keys; of all by default.
    timeout
        Seconds to wait for what becomes of them.
    """
    office = _office(context)
    chosen = [x for x in office.letters() if x.status in OPEN and (not keys or x.key in keys)]
    if idle := set(keys) - {x.key for x in chosen}:
        raise Unusable(
            f"of {', '.join(sorted(idle))} nothing waits; `weft dead list {context} --all` says what became of it"
        )
    if not chosen:
        out.print("nothing waits", markup=False)
        return DONE
    outcomes = office.redrive(chosen, timeout)
    for letter, outcome in outcomes:
        style = "green" if outcome == "processed" else "yellow"
        out.print(f"{letter.id} of {letter.key}: {outcome}", style=style, markup=False)
    return DONE if all(outcome == "processed" for _, outcome in outcomes) else FAILED


@dead.command
def discard(context: str, id: str, /, *, reason: str, which: Which = ANY, timeout: float = 30.0) -> int:
    """Decide that a letter will never be processed; the ones behind it move up, and can be redriven.

    Example: `weft dead discard orders place-17 --reason "a test that went astray"`

    Parameters
    ----------
    context
        Whose dead letter it is.
    id
        Its id, as `weft dead list` has it.
    reason
        Why, for whoever asks for its receipt.
    timeout
        Seconds to wait until that is decided.
    """
    office = _office(context)
    letter = _find(office, office.letters(), id, which)
    outcome = office.discard(letter, reason, timeout)
    out.print(f"{id}: {outcome}", markup=False)
    return DONE if outcome == "discarded" else FAILED


def skip(
    context: str,
    partition: int,
    offset: int,
    /,
    *,
    reason: str,
    way: Literal["commands", "own"] = "commands",
    yes: Flag = False,
) -> int:
    """Pass by the command at OFFSET of a PARTITION, for ever: the last resort where it stops the partition whatever is done.

    Only the next one that is not decided can be passed by; `weft status` says how far a context is. Nobody hears of it but by
    the log, and what its context asked itself is not asked again: what hangs on it hangs on.

    Example: `weft skip orders 0 4711 --reason "it stops the worker"`

    Parameters
    ----------
    context
        Whose command it is.
    partition
        Where it is.
    offset
        Where it stands there.
    reason
        Why, for whoever reads the log.
    way
        The topic it came by: what others ask, or what the context asks itself.
    yes
        Do not ask.
    """
    s, mesh = reached()
    c = mesh.context(context)
    with reading.opened(s) as client, gauging(address(s, "kafka")) as gauge:
        found = next_command(mesh, client, gauge, c, partition, Way[way.upper()])
        if found.record.offset != offset:
            raise Unusable(
                f"the next command there that is not decided is at offset {found.record.offset}, not at {offset}"
            )
        headers = dict(found.record.headers)
        named = " ".join((headers.get(name) or b"?").decode(errors="replace") for name in (TYPE, ID))
        size = len(found.record.value or b"")
        out.print(
            f"{place_of(found.record)}: {named}, {size} bytes, of {when(found.record.timestamp):%Y-%m-%d %H:%M:%S}",
            markup=False,
        )
        if not yes and not agreed("pass it by for ever?"):
            raise Unusable("nothing was passed by; `--yes` does not ask")
        pass_by(s, mesh, client, c, found, reason)
    out.print(f"{context} goes on behind it", markup=False)
    return DONE


def _office(context: str) -> Office:
    s, mesh = reached()
    return Office(s, mesh, mesh.context(context))


def _find(office: Office, letters: list[Letter], identity: str, which: Which) -> Letter:
    """The letter of this id, the one that waits if there are several; Unusable if that does not tell which."""
    found = [letter for letter in letters if letter.id == identity and which.is_met_by(letter)]
    waiting = [letter for letter in found if letter.status in OPEN]
    meant = waiting if len(found) > 1 and waiting else found
    if not meant:
        raise Unusable(
            f"there is no such dead letter {identity!r} in {office.context.dead_topic}; `weft dead list {office.context.name} --all` names them"
        )
    if len(meant) > 1:
        these = "; ".join(f"--key {x.key} --way {x.way} --place {x.place}" for x in meant[:5])
        raise Unusable(f"{len(meant)} dead letters have the id {identity!r}: say which by one of {these}")
    return meant[0]
