"""`weft up`, `status`, `down`, `demo`, and what containers run: `setup` and `run`."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from infra import private
from infra.cli.console import (
    DONE,
    FAILED,
    TIMED_OUT,
    Flag,
    Json,
    at_hand,
    err,
    out,
    reached,
    settings,
    the_mesh,
    until_done,
    whole,
)
from infra.embedded.instance import Instance, already_runs, prepare_home
from infra.embedded.instance import down as stop_instance
from infra.embedded.instance import wipe as wipe_instance
from infra.embedded.runfile import running
from infra.errors import Unreadable, nearest
from infra.kafka import topics
from infra.kafka.topics import STOPPED_TOPIC
from infra.mesh import Mesh
from infra.model.needs import kind_of
from infra.ops import logs, positions
from infra.ops import setup as setting_up
from infra.ops import status as mesh_status
from infra.ops.interrupts import stop_signals
from infra.read import postgres
from infra.settings import Settings

READY_SECONDS = 60.0


def up(
    *names: str,
    split: Flag = False,
    detach: Flag = False,
) -> int:
    """Start the mesh: all contexts in one process, or the named ones, or with --split one process each.

    Kafka, Postgres and stand-ins for what contexts need outside are started too, except those whose address is set
    (WEFT_KAFKA, WEFT_POSTGRES, ...). Data is kept in WEFT_HOME across restarts. Ctrl-C stops all of it.

    Example: `weft up`

    Example: `WEFT_KAFKA=broker:9092 WEFT_POSTGRES=postgresql://... weft up payments`

    Parameters
    ----------
    names
        Contexts, and read models that span contexts; all by default.
    split
        One process for each of them.
    detach
        Return once everything is ready, and go on in the background.
    """
    s = settings()
    mesh = the_mesh(s)
    setting_up.check_given(s, mesh, names)
    setting_up.check_vault_wants_no_other(s)
    if detach:
        return _detach(s, names, split)
    with stop_signals() as stopping, Instance(s, mesh.outside, say, fetching()) as instance:
        s = instance.start_services()
        setting_up.check_needs(s, mesh, names)
        mesh = prepare(s, mesh)
        instance.start_units(groups(mesh, names, split))
        ready = False
        waiting_since = time.monotonic()
        while not stopping():
            instance.revive()
            time.sleep(0.1)
            if not ready and (ready := _all_joined(s, mesh, names)):
                instance.declare_ready()
                stops = "Ctrl-C" if sys.stdout.isatty() else "`weft down`"
                say(
                    f"ready: Kafka at {s.kafka}, data in {s.home}. {stops} stops it; `weft demo`, `weft send`, `weft watch` and `weft sql` are next"
                )
            elif not ready and time.monotonic() - waiting_since > READY_SECONDS:
                say(f"not ready after {READY_SECONDS:.0f} s, see {s.home / 'logs'}")
                waiting_since = time.monotonic()
        say("stopping")
    return DONE


def prepare(s: Settings, mesh: Mesh) -> Mesh:
    """Topics, schemas, roles: all that has to be there before a worker starts; returns the mesh as it is deployed."""
    now, changed = setting_up.prepare(s, mesh)
    for name in changed:
        err.print(
            f"the code of {name} is not the one that made its tables: they stay as they are until `weft rebuild {name}`",
            style="yellow",
            markup=False,
        )
    return now


def groups(mesh: Mesh, names: Sequence[str], split: bool) -> list[list[str]]:
    """The units of each worker process."""
    contexts, projections = mesh.units(names)
    chosen = [*contexts, *(p for p in projections if mesh.home_of(mesh.projection(p)) is None)]
    return [[name] for name in chosen] if split else [chosen]


def _all_joined(s: Settings, mesh: Mesh, names: Sequence[str]) -> bool:
    with contextlib.suppress(Exception):
        found = mesh_status.contexts(s, mesh)
        return all(found[c]["state"] == "stable" and found[c]["members"] for c in mesh.units(names)[0])
    return False


def _detach(s: Settings, names: Sequence[str], split: bool) -> int:
    prepare_home(s.home)
    if running(s.home):
        raise already_runs(s.home)
    log = s.home / "logs" / "up.log"
    private.folder(log.parent)
    with open(log, "ab", opener=private.opener) as file:  # appended to, so that it can be cut while it is written
        file.truncate(0)
        command = [sys.executable, "-m", "infra.cli", "up", *names, *(["--split"] if split else [])]
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    deadline = time.monotonic() + 300
    shown = 0
    while time.monotonic() < deadline:
        ended = child.poll() is not None
        lines = log.read_text(errors="replace").splitlines()
        for line in lines[shown:]:
            out.print(line, markup=False)
        shown = len(lines)
        if ended:
            return FAILED
        found = running(s.home)
        if found and found.ready and found.pid == child.pid:
            return DONE
        time.sleep(0.2)
    err.print(f"not ready after 300 s; it goes on in the background, see {log}", markup=False)
    return TIMED_OUT


def down(*, wipe: Flag = False) -> int:
    """Stop the instance in WEFT_HOME; with --wipe remove its data too.

    Example: `weft down --wipe`

    Parameters
    ----------
    wipe
        Remove the data of the instance too.
    """
    s = settings()
    stopped = stop_instance(s.home)
    if wipe:
        wipe_instance(s.home, lambda: the_mesh(s).outside)
    out.print(
        ("stopped" if stopped else f"nothing runs in {s.home}") + (", data removed" if wipe else ""), markup=False
    )
    return DONE


def setup(*, from_now: list[str] | None = None) -> int:
    """Create topics, schemas and roles on the Kafka and Postgres of WEFT_KAFKA and WEFT_POSTGRES; safe to repeat.

    `weft up` does this by itself; deployments run it once, before the workers, with rights the workers need not have.

    Example: `WEFT_KAFKA=broker:9092 WEFT_POSTGRES=postgresql://... weft setup`

    Example: `weft setup --from-now shipping`

    Parameters
    ----------
    from_now
        A context that has never run: its policy hears what comes, and not what has ever happened.
    """
    s, mesh = at_hand() if not from_now else reached()
    setting_up.check_given(s, mesh)
    mesh = prepare(s, mesh)
    for name in from_now or []:
        left_out = positions.begin_now(s, mesh, name)
        out.print(f"{name} begins now: {left_out} events of the past are not heard", markup=False)
    for name, count in positions.history(s, mesh).items():
        out.print(
            f"{name} has not begun, and will hear {count} events of the past; `weft setup --from-now {name}` leaves them out",
            markup=False,
        )
    for said in topics.torn(s, mesh.contexts.values()):
        err.print(said, style="yellow", markup=False)
    out.print("topics, schemas and roles are in place", markup=False)
    return DONE


def run(*names: str, leave_with_parent: Annotated[bool, Parameter(show=False, negative=())] = False) -> int:
    """Run contexts and read models in this process, on services that run already: what a container does.

    Example: `weft run orders`

    Parameters
    ----------
    names
        Contexts, and read models that span contexts; all by default.
    """
    from infra.ops import run as worker_process  # Faust, which only a worker needs

    logs.configure()
    os.umask(private.UMASK)
    s, mesh = at_hand()
    setting_up.check_needs(s, mesh, names)
    setting_up.check_vault(s, mesh, names)
    if mesh.units(names)[0]:
        private.folder(s.home)  # a context keeps its state there
    mesh = setting_up.deployed(s, mesh)
    topics.check(s, [mesh.context(name) for name in mesh.units(names)[0]])
    return until_done(worker_process.run(mesh, names, s, leave_with_parent=leave_with_parent))


def webhooks(*, host: str = "127.0.0.1", port: int = 8182) -> int:
    """Listen for webhooks of the payment gateway: POST /webhooks/payments. Put TLS in front of it.

    Example: `WEFT_STRIPE_WEBHOOK_SECRET=whsec_... weft webhooks --port 8182`

    Parameters
    ----------
    host
        The address to listen at.
    port
        The port to listen at.
    """
    from infra.edge import webhooks as server

    logs.configure()
    s, mesh = reached()

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        await server.serve(s, mesh, host, port, stop)

    return until_done(until_stopped())


def status(*, json_: Json = False) -> int:
    """What runs, and how far everything is behind the log. Exit 1 if Kafka or Postgres cannot be reached, something stands still, or is parked.

    Example: `weft status --json`
    """
    s, mesh = at_hand()
    found = running(s.home)
    if found is None and s.kafka is None:
        err.print(f"nothing runs in {s.home}; start the mesh with `weft up`", markup=False)
        return FAILED
    gathered: dict[str, Any] = asyncio.run(mesh_status.gather(s, mesh))
    known = {name: s.given(name) for name in mesh.outside.named} | {"home": str(s.home)}
    if s.postgres:
        known["analysts"] = postgres.analyst(s.postgres)
    gathered["addresses"] = {name: value and postgres.shown(value) for name, value in known.items()}
    if json_:
        out.print(json.dumps(gathered), markup=False)
    else:
        _show_status(gathered)
    # without weft.stopped nobody knows what stands still
    is_well = "kafka_error" not in gathered and "postgres_error" not in gathered and gathered["stopped"] == []
    needs_somebody = any(said["parked"] for said in gathered.get("effects", ()))
    return DONE if is_well and not needs_somebody else FAILED


def _show_status(gathered: dict[str, Any]) -> None:
    for name, value in gathered["addresses"].items():
        out.print(f"{name:9} {value or '-'}", markup=False)
    for title in ("contexts", "projections"):
        if title in gathered:
            rows: dict[str, dict[str, Any]] = gathered[title]
            columns = [name for name in next(iter(rows.values())) if name != "heard"]  # of each partition: in --json
            table = Table(title[:-1], *(column.replace("_", " ") for column in columns), box=None)
            for name, row in rows.items():
                table.add_row(name, *("-" if row[column] is None else str(row[column]) for column in columns))
            out.print()
            if not whole(out, table):
                out.print(table)
    for circuit in gathered.get("circuits", ()):
        since = f"{datetime.fromtimestamp(circuit['since'], UTC):%H:%M:%S}"
        err.print(
            f"the circuit from {circuit['context']} to {circuit['target']} is {circuit['state']} since {since} UTC",
            style="yellow",
            markup=False,
        )
    _show_effects(gathered.get("effects", ()))
    if gathered.get("stopped", ()) is None:
        err.print(
            f"there is no topic {STOPPED_TOPIC}, so nobody can say whether anything stands still: `weft setup` makes it",
            style="red",
            markup=False,
        )
    for stopped in gathered.get("stopped") or ():
        since = f"{datetime.fromtimestamp(stopped['since'], UTC):%Y-%m-%d %H:%M:%S}"
        err.print(
            f"{stopped['reason']}. It stands still since {since} UTC; {_next(stopped)}",
            style="red",
            markup=False,
        )
    for error in ("kafka_error", "postgres_error"):
        if error in gathered:
            err.print(gathered[error], style="red", markup=False)


def _show_effects(said: Sequence[dict[str, Any]]) -> None:
    for context in sorted({s["context"] for s in said}):
        parked = sum(s["parked"] for s in said if s["context"] == context)
        tried = sum(len(s["tried"]) for s in said if s["context"] == context)
        if parked:
            text = f"{parked} effects of {context} need a person; `weft effects list {context}` is next"
            out.print(text, style="red", markup=False)
        if tried:
            out.print(f"{tried} effects of {context} were tried in vain so far, and are tried again", markup=False)


def _next(stopped: dict[str, Any]) -> str:
    """What can be done about it; workers of before have not said that."""
    said: str = stopped.get("next", f"`weft topics accept {stopped['context']} {stopped['partition']}` is next")
    return said


def key(kind: str, /) -> int:
    """A fresh key: `vault` for WEFT_VAULT_KEY, `token` for WEFT_TOKEN_KEYS, or what else contexts need.

    Who loses the vault's has erased everybody.

    Example: `weft key vault`

    Parameters
    ----------
    kind
        Whose: the vault's that persons' keys lie in, the one that signs tokens, or Web Push's.
    """
    makers = {kind_of(name): make for name, make in the_mesh(settings()).outside.makers.items()}
    if kind not in makers:
        raise Unreadable("unknown_key", f"there is no key {kind!r}; {nearest(kind, makers)}")
    print(makers[kind]())
    return DONE


_began = time.monotonic()


def say(text: str) -> None:
    """A line, with the seconds since this process began."""
    out.print(f"{time.monotonic() - _began:6.1f} s  {text}", markup=False)
    sys.stdout.flush()


def fetching() -> Any:
    """How the fetching of Kafka is shown: a bar on a terminal, a line now and then in a pipe."""
    shown = [-1]

    def show(done: int, total: int) -> None:
        if done == total and shown[0] < 0:
            return  # everything was there
        step = done * 10 // total
        if sys.stdout.isatty():
            bar = "#" * (done * 30 // total)
            print(f"\r  fetching Kafka  [{bar:30}] {done}/{total} jars", end="\n" if done == total else "", flush=True)
            shown[0] = done
        elif step != shown[0]:
            shown[0] = step
            say(f"fetching Kafka: {done} of {total} jars")

    return show
