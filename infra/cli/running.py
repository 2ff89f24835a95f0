"""`weft up`, `status`, `down`, `demo`, and what containers run: `setup` and `run`."""

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.table import Table

from infra import analytics, logs, mesh, postgres, topics, vault
from infra import status as mesh_status
from infra.cli import DONE, FAILED, TIMED_OUT, err, out, reached, settings, until_done, whole
from infra.embedded import secrets
from infra.embedded.instance import Instance, prepare_home
from infra.embedded.instance import down as stop_instance
from infra.embedded.instance import wipe as wipe_instance
from infra.identity import service as identity
from infra.interrupts import stop_signals
from infra.runfile import resolved, running
from infra.settings import Settings, address

Json = Annotated[bool, Parameter(name="--json", negative=())]
READY_SECONDS = 60.0


def up(
    *names: str,
    split: Annotated[bool, Parameter(negative=())] = False,
    detach: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Start the mesh: all contexts in one process, or the named ones, or with --split one process each.

    Kafka, Postgres, a payment gateway and a mail server are started too, except those whose address is set
    (WEFT_KAFKA, WEFT_POSTGRES, WEFT_GATEWAY, WEFT_SMTP). Data is kept in WEFT_HOME across restarts. Ctrl-C stops all of it.

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
    mesh.units(names)
    if detach:
        return _detach(names, split)
    with stop_signals() as stopping, Instance(settings(), say, fetching()) as instance:
        s = instance.start_services()
        prepare(s)
        instance.start_units(groups(names, split))
        ready = False
        waiting_since = time.monotonic()
        while not stopping():
            instance.revive()
            time.sleep(0.1)
            if not ready and (ready := _all_joined(s, names)):
                instance.declare_ready()
                say(
                    f"ready: Kafka at {s.kafka}, data in {s.home}. Ctrl-C stops it; `weft demo`, `weft send`, `weft watch` and `weft sql` are next"
                )
            elif not ready and time.monotonic() - waiting_since > READY_SECONDS:
                say(f"not ready after {READY_SECONDS:.0f} s, see {s.home / 'logs'}")
                waiting_since = time.monotonic()
        say("stopping")
    return DONE


def prepare(s: Settings) -> None:
    """Topics, schemas, roles: all that has to be there before a worker starts."""
    if registry := mesh.schema_registry():
        registry.prepare(mesh.subjects(), mesh.current_schemas())
    topics.prepare(s, mesh.contexts().values())
    for name in asyncio.run(analytics.prepare(address(s, "postgres"), mesh.projections().values())):
        err.print(
            f"the code of {name} is not the one that made its tables: they stay as they are until `weft rebuild {name}`",
            style="yellow",
            markup=False,
        )
    asyncio.run(vault.prepare(s))
    asyncio.run(identity.prepare(s))


def groups(names: Sequence[str], split: bool) -> list[list[str]]:
    """The units of each worker process."""
    contexts, projections = mesh.units(names)
    chosen = [*contexts, *(p for p in projections if mesh.home_of(p) is None)]
    return [[name] for name in chosen] if split else [chosen]


def _all_joined(s: Settings, names: Sequence[str]) -> bool:
    with contextlib.suppress(Exception):
        found = mesh_status.contexts(s)
        return all(found[c]["state"] == "stable" and found[c]["members"] for c in mesh.units(names)[0])
    return False


def _detach(names: Sequence[str], split: bool) -> int:
    s = settings()
    prepare_home(s.home)
    (s.home / "logs").mkdir(exist_ok=True)
    log = s.home / "logs" / "up.log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "infra.cli", "up", *names, *(["--split"] if split else [])]
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    deadline = time.monotonic() + 300
    shown = 0
    while time.monotonic() < deadline:
        lines = log.read_text(errors="replace").splitlines()
        for line in lines[shown:]:
            out.print(line, markup=False)
        shown = len(lines)
        if child.poll() is not None:
            return FAILED
        found = running(s.home)
        if found and found.ready:
            return DONE
        time.sleep(0.2)
    err.print(f"not ready after 300 s; it goes on in the background, see {log}", markup=False)
    return TIMED_OUT


def down(*, wipe: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Stop the instance in WEFT_HOME; with --wipe remove its data too.

    Example: `weft down --wipe`
    """
    s = settings()
    stopped = stop_instance(s.home)
    if wipe:
        wipe_instance(s.home)
    out.print(
        ("stopped" if stopped else f"nothing runs in {s.home}") + (", data removed" if wipe else ""), markup=False
    )
    return DONE


def setup() -> int:
    """Create topics, schemas and roles on the Kafka and Postgres of WEFT_KAFKA and WEFT_POSTGRES; safe to repeat.

    `weft up` does this by itself; deployments run it once, before the workers, with rights the workers need not have.

    Example: `WEFT_KAFKA=broker:9092 WEFT_POSTGRES=postgresql://... weft setup`
    """
    prepare(resolved(settings()))
    out.print("topics, schemas and roles are in place", markup=False)
    return DONE


def run(*names: str, leave_with_parent: Annotated[bool, Parameter(show=False, negative=())] = False) -> int:
    """Run contexts and read models in this process, on services that run already: what a container does.

    Example: `weft run orders`
    """
    from infra import run as worker_process  # Faust, which only a worker needs

    logs.configure()
    s = resolved(settings())
    topics.check(s, [mesh.context(name) for name in mesh.units(names)[0]])
    return until_done(worker_process.run(names, s, leave_with_parent=leave_with_parent))


def webhooks(*, host: str = "127.0.0.1", port: int = 8182) -> int:
    """Listen for webhooks of the payment gateway: POST /webhooks/payments. Put TLS in front of it.

    Example: `WEFT_STRIPE_WEBHOOK_SECRET=whsec_... weft webhooks --port 8182`
    """
    from infra import webhooks as server

    logs.configure()
    s = reached()

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        await server.serve(s, host, port, stop)

    return until_done(until_stopped())


def status(*, json_: Json = False) -> int:
    """What runs, and how far everything is behind the log. Exit 1 if Kafka or Postgres cannot be reached.

    Example: `weft status --json`
    """
    s = resolved(settings())
    found = running(s.home)
    if found is None and s.kafka is None:
        err.print(f"nothing runs in {s.home}; start the mesh with `weft up`", markup=False)
        return FAILED
    gathered: dict[str, Any] = asyncio.run(mesh_status.gather(s))
    addresses = {name: getattr(s, name) for name in ("kafka", "postgres", "gateway", "smtp", "mailbox")} | {
        "home": str(s.home)
    }
    if s.postgres:
        addresses |= {"postgres": postgres.shown(s.postgres), "analysts": postgres.shown(postgres.analyst(s.postgres))}
    gathered["addresses"] = addresses
    if json_:
        out.print(json.dumps(gathered), markup=False)
    else:
        _show_status(gathered)
    return FAILED if "kafka_error" in gathered or "postgres_error" in gathered else DONE


def _show_status(gathered: dict[str, Any]) -> None:
    for name, value in gathered["addresses"].items():
        out.print(f"{name:9} {value or '-'}", markup=False)
    for title in ("contexts", "projections"):
        if title in gathered:
            rows: dict[str, dict[str, Any]] = gathered[title]
            table = Table(title[:-1], *(column.replace("_", " ") for column in next(iter(rows.values()))), box=None)
            for name, row in rows.items():
                table.add_row(name, *("-" if value is None else str(value) for value in row.values()))
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
    for error in ("kafka_error", "postgres_error"):
        if error in gathered:
            err.print(gathered[error], style="red", markup=False)


def demo(*, orders: int = 50, seed: int = 1) -> int:
    """Start everything, place orders (some declined, some cancelled), show the sagas, check that all adds up, stop.

    Works in a directory of its own, removed at the end. Exit 1 if anything does not add up.

    Example: `weft demo --orders 1000`
    """
    from infra import demo as story

    if orders < 1:
        err.print("--orders has to be at least 1", markup=False)
        return 2
    home = Path(tempfile.mkdtemp(prefix="weft-demo-"))
    home.chmod(0o711)  # the service user that Postgres needs under root has to pass
    own = settings().model_copy(
        update={"home": home}
        | dict.fromkeys(
            ("kafka", "postgres", "gateway", "smtp", "mailbox", "sms", "push", "vault", "vault_key", "push_key")
        )
    )
    try:
        with stop_signals() as stopping, Instance(own, say, fetching()) as instance:
            s = instance.start_services()
            prepare(s)
            instance.start_units(groups((), False))
            code = asyncio.run(story.tell(s, orders, seed, story.Stage(say, stopping, instance.revive)))
            if code != DONE:
                _say_logs(home / "logs")
            return code
    finally:
        shutil.rmtree(home, ignore_errors=True)


def bench(
    what: Literal["commands", "recovery", "rebuild"] = "commands",
    /,
    *,
    commands: int = 100_000,
    rounds: int | None = None,
    events: int = 1_000_000,
    json_: Json = False,
) -> int:
    """PlaceOrder commands a second through the orders context, against a plain Faust agent with a Table, on one broker.

    Or how long a partition of so many events needs until it decides again, from nothing and from its snapshot. Or events a
    second into a read model: one by one, live, and rebuilt.

    Example: `weft bench --commands 50000 --rounds 3`

    Example: `weft bench recovery --events 1000000`

    Example: `weft bench rebuild --events 1000000`
    """
    if commands < 5000 or (rounds is not None and rounds < 1) or events < 1000:
        err.print("--commands has to be at least 5000, --rounds at least 1, --events at least 1000", markup=False)
        return 2
    home = Path(tempfile.mkdtemp(prefix="weft-bench-"))
    home.chmod(0o711)
    unused = ("gateway", "smtp", "sms", "push") if what == "rebuild" else ("postgres", "gateway", "smtp", "sms", "push")
    own = settings().model_copy(
        update={"home": home, "kafka": None, "postgres": None, "session_timeout": 60.0} | dict.fromkeys(unused, "-")
    )
    speak = (lambda text: None) if json_ else say
    try:
        with stop_signals(), Instance(own, speak, fetching()) as instance:
            s = instance.start_services()
            result = MEASURES[what](s, commands, rounds, events, home, speak)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if json_:
        out.print(json.dumps(result), markup=False)
    return DONE


def _bench_commands(
    s: Settings, commands: int, rounds: int | None, events: int, home: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    from infra.bench import commands as measured

    result = measured.summary(measured.compare(s, commands, rounds or 5, say))
    say(
        f"median of {result['rounds']} rounds: Weft {result['weft']:,.0f} commands/s, plain Faust with a Table {result['plain']:,.0f}/s: "
        f"{result['ratio']:.1f} times ({result['ratio_min']:.1f} to {result['ratio_max']:.1f})"
    )
    return result


def _bench_recovery(
    s: Settings, commands: int, rounds: int | None, events: int, home: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    from infra.bench import recovery

    return recovery.measure(s, events, home / "recovery", say)


def _bench_rebuild(
    s: Settings, commands: int, rounds: int | None, events: int, home: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    from infra.bench import rebuild

    topics.prepare(s, mesh.contexts().values())
    asyncio.run(analytics.prepare(address(s, "postgres"), mesh.projections().values()))
    return rebuild.measure(s, events, rounds or 3, say)


MEASURES = {"commands": _bench_commands, "recovery": _bench_recovery, "rebuild": _bench_rebuild}


def key(kind: Literal["vault", "token", "push"], /) -> int:
    """A fresh key: for WEFT_VAULT_KEY, WEFT_TOKEN_KEYS or WEFT_PUSH_KEY. Who loses the vault's has erased everybody.

    Example: `weft key vault`
    """
    maker = {"vault": "vault_key", "token": "token_keys", "push": "push_key"}[kind]
    print(secrets.MAKERS[maker]())
    return DONE


def _say_logs(directory: Path) -> None:
    for log in sorted(directory.glob("*.log")):
        err.print(f"--- the end of {log.name}", markup=False)
        err.print("\n".join(line[:1000] for line in log.read_text(errors="replace").splitlines()[-12:]), markup=False)


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
