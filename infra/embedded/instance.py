"""One instance of the mesh on this machine: its directory, its ports, its services, its worker processes.

home/lock           held while the instance runs: two cannot share a directory
home/ports.json     kept, so that addresses survive a restart
home/children.json  the ledger of child processes
home/made.json      what it made for its contexts, for who wipes it: their code may not load then
home/run.json       addresses and the supervisor's pid, while it runs
home/kafka, postgres, logs, and a directory for each stand-in
"""

import contextlib
import fcntl
import json
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from infra import private
from infra.embedded import jars, kafka, postgres, secrets
from infra.embedded.processes import Children, end_leftovers, leftovers
from infra.embedded.runfile import running
from infra.errors import Unusable
from infra.model.needs import SERVICES, Outside, StandIn
from infra.settings import IN_A_FILE, Settings, cache_dir, default_home, variable

THROUGH = 0o011  # who may only pass through a folder sees nothing of it; the service user of Postgres does
NEEDED_BYTES = 300 << 20
OWN = (
    "kafka",
    "postgres",
    "logs",
    "faust",
    "state",
    "snapshots",  # of versions before there was one
    "lock",
    "ports.json",
    "children.json",
    "run.json",
    secrets.NOTE,
)
MADE = "made.json"
PREFERRED = {"kafka": 9092}
PORT_ATTEMPTS = 3
HOST = "127.0.0.1"


@dataclass
class Restart:
    """When a child that died may start again: pauses double, and shrink back once it has lived for a while."""

    pause: float = 0.5
    due: float = 0.0
    born: float = field(default_factory=time.monotonic)

    def died(self) -> float:
        now = time.monotonic()
        self.pause = 0.5 if now - self.born > 30 else min(self.pause * 2, 10.0)
        self.due = now + self.pause
        return self.pause


class Instance:
    """Starts, supervises and stops everything under one directory; use as a context manager."""

    def __init__(
        self, settings: Settings, outside: Outside, say: Callable[[str], None], progress: jars.Progress
    ) -> None:
        self.settings = settings
        self._outside = outside
        self.home = settings.home
        self._say = say
        self._progress = progress
        self._starters: dict[str, Callable[[], object]] = {}
        self._restarts: dict[str, Restart] = {}
        self._units: list[str] = []

    def __enter__(self) -> "Instance":
        prepare_home(self.home)
        self._lock = open(self.home / "lock", "a", opener=private.opener)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise already_runs(self.home) from None
        if opened := close_home(self.home):
            self._say(
                f"the data directory {self.home} could be read by others ({opened} files and folders): it is closed now"
            )
        for name in end_leftovers(self.home / "children.json"):
            self._say(f"ended {name}, left behind by an earlier run")
        self.children = Children(self.home / "children.json", self.home / "logs")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._lock.close()

    def start_services(self) -> Settings:
        """Start what has no address of its own; returns the settings with every address and secret filled in."""
        given, ports = self.settings, self._ports(("kafka", "controller", *self._outside.stand_ins))
        self._note_secrets_of_before()
        self._note_made()
        found: dict[str, str] = self._keys()
        if given.kafka is None:
            found["kafka"] = self._start_kafka(jars.fetch(cache_dir(), self._progress), ports)
        if given.postgres is None:
            found["postgres"] = self._start("postgres", lambda: postgres.start(self.children, self.home, cache_dir()))
        for stand_in, names in self._outside.wanted(given).items():
            served = {name: ports[name] for name in names}
            start = partial(self._start_stand_in, stand_in, served)
            found |= self._start_at(stand_in.name, start, served, names)
        self.settings = given.having(**found)
        self._write_run(ready=False)
        return self.settings

    def _start_kafka(self, files: list[Path], ports: dict[str, int]) -> str:
        def start() -> str:
            return kafka.start(self.children, files, self.home, ports["kafka"], ports["controller"])

        return str(self._start_at("kafka", start, ports, ("kafka", "controller")))

    def _start_at(self, name: str, start: Callable[[], Any], ports: dict[str, int], listening: Collection[str]) -> Any:
        """On other ports if these were taken since they were found free: as another's listener, or by an outgoing connection."""
        for _ in range(PORT_ATTEMPTS - 1):
            try:
                return self._start(name, start)
            except Unusable:
                if all(_is_free(ports[one]) for one in listening):
                    raise
                ports |= self._ports(listening)
        return self._start(name, start)

    def _note_made(self) -> None:
        if made := {*(_noted(self.home) or ()), *_made(self._outside)}:
            private.write(self.home / MADE, json.dumps(sorted(made)))

    def _keys(self) -> dict[str, str]:
        """The secrets nobody gave, as far as they can be made."""
        makers = self._outside.makers
        found = {
            name: secrets.kept(self.home, name, make) for name, make in makers.items() if not self.settings.given(name)
        }
        secrets.note(self.home, makers)
        return found

    def _note_secrets_of_before(self) -> None:
        """A home of before has no note of its secrets: it has those that it was made for, once there is anything made with them."""
        if secrets.noted(self.home) is None and any((self.home / name / "data").exists() for name in SERVICES):
            made = _noted(self.home) or ()
            secrets.note(self.home, [name for name in self._outside.makers if secrets.name_of(name) in made])

    def start_units(self, groups: Sequence[Sequence[str]]) -> None:
        """One worker process a group of contexts and projections."""
        self._units = [name for group in groups for name in group]
        for group in groups:
            name = "mesh" if len(groups) == 1 else "-".join(group)
            self._start(name, partial(self._start_worker, name, group))
        self._write_run(ready=False)

    def declare_ready(self) -> None:
        self._write_run(ready=True)

    def supervise(self, until: Callable[[], bool]) -> None:
        """Start again what dies, until told to stop."""
        while not until():
            self.revive()
            time.sleep(0.1)

    def revive(self) -> None:
        """Start again the children that have ended, each after its pause; and keep what they all say within bounds."""
        self.children.bound_logs()
        for name, start in self._starters.items():
            child, restart = self.children.get(name), self._restarts[name]
            if child is not None and child.poll() is not None:
                code = child.returncode
                self.children.stop(name)
                self._say(
                    f"{name} ended with code {code}; starting it again in {restart.died():.1f} s (see {self.children.log_file(name)})"
                )
            elif child is None and time.monotonic() >= restart.due:
                restart.born = time.monotonic()
                try:
                    start()
                except Unusable as error:
                    self._say(str(error))
                    self.children.stop(name)
                    restart.died()

    def stop(self) -> None:
        """End the children, the last started first."""
        (self.home / "run.json").unlink(missing_ok=True)
        for name in reversed(self._starters):
            # SIGINT is Postgres's fast shutdown: it does not wait for clients to leave
            self.children.stop(name, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        self._starters.clear()

    def _start(self, name: str, start: Callable[[], Any]) -> Any:
        self._say(f"starting {name}")
        try:
            result = start()
        except BaseException:
            self.children.stop(name)
            raise
        self._starters[name] = start
        self._restarts[name] = Restart()
        return result

    def _start_stand_in(self, stand_in: StandIn, ports: Mapping[str, int]) -> dict[str, str]:
        places = [f"{name}={port}" for name, port in ports.items()]
        command: list[str | Path] = [sys.executable, "-m", stand_in.module, self.home / stand_in.name, HOST, *places]
        self.children.start(stand_in.name, command)
        self.children.wait_until(stand_in.name, lambda: all(map(_listens, ports.values())), 30, stand_in.name)
        return {name: self._outside.addresses[name].form.format(f"{HOST}:{port}") for name, port in ports.items()}

    def _start_worker(self, name: str, group: Sequence[str]) -> None:
        self.children.start(
            name,
            [sys.executable, "-m", "infra.cli", "run", *group, "--leave-with-parent"],
            env=environment(self.settings),
        )

    def _ports(self, names: Iterable[str]) -> dict[str, int]:
        file = self.home / "ports.json"
        first = PREFERRED if self.home == default_home() else {}  # others stay out of its way
        kept: dict[str, int] = json.loads(file.read_text()) if file.exists() else first
        ports: dict[str, int] = {}
        for name in names:
            port = kept.get(name, 0)
            ports[name] = port if port and _is_free(port) else _free_port()
        private.write(file, json.dumps(kept | ports))
        return ports

    def _write_run(self, *, ready: bool) -> None:
        me = psutil.Process()
        addresses = {name: value for name in self._outside.named if (value := self.settings.given(name))}
        content = {
            "pid": me.pid,
            "created": me.create_time(),
            "units": self._units,
            "ready": ready,
            "addresses": addresses,
        }
        private.write(self.home / "run.json", json.dumps(content))


def prepare_home(home: Path) -> None:
    """Make the data directory; a clear error when it is not this user's, or there is no right or no room to."""
    try:
        private.folder(home)
        probe = home / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise Unusable(
            f"cannot write to the data directory {home}: {error.strerror}. Choose another with WEFT_HOME"
        ) from error
    free = shutil.disk_usage(home).free
    if free < NEEDED_BYTES:
        raise Unusable(
            f"the data directory {home} has {free >> 20} MiB free, at least {NEEDED_BYTES >> 20} are needed. Free some, or choose another with WEFT_HOME"
        )


def close_home(home: Path) -> int:
    """Take from others what they may do with an instance's home of before; what else lies there stays as it is."""
    opened = home.stat().st_mode & private.OTHERS & ~THROUGH
    home.chmod(home.stat().st_mode & 0o7777 & ~private.OTHERS)
    return bool(opened) + private.close(home / name for name in (*OWN, *(_noted(home) or ())))


def already_runs(home: Path) -> Unusable:
    """What somebody is told who would start a second instance in `home`."""
    return Unusable(
        f"an instance already runs in {home}: see `weft status`, or choose another directory with WEFT_HOME"
    )


def down(home: Path, patience: float = 60) -> bool:
    """Stop the instance in `home` and what it left behind; whether there was anything to stop."""
    found = running(home)
    if found is not None:
        process = psutil.Process(found.pid)
        process.terminate()
        try:
            process.wait(patience)
        except psutil.TimeoutExpired:
            process.kill()
    left = end_leftovers(home / "children.json")
    return found is not None or bool(left)


def wipe(home: Path, outside: Callable[[], Outside]) -> None:
    """Remove an instance's data, and nothing that is not an instance's; `outside` is asked where the home does not say."""
    if leftovers(home / "children.json") or running(home):
        raise Unusable(f"the instance in {home} still runs; stop it first with `weft down`")
    made = _noted(home)
    if made is None:
        made = _made(outside()) if home.exists() else []
    names = {*OWN, *made} - {MADE}
    scratch = [path.name for name in (*names, MADE) for path in home.glob(f".{name}-*")]
    for path in (home / name for name in (*scratch, *sorted(names), MADE)):  # it is read again by who goes on with this
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        home.rmdir()


def _made(outside: Outside) -> list[str]:
    """The directories and files of a home that are not every instance's."""
    stand_ins = {stand_in.name for stand_in in outside.stand_ins.values()}
    return [*stand_ins, *(secrets.name_of(name) for name in outside.makers)]


def _noted(home: Path) -> list[str] | None:
    with contextlib.suppress(OSError, ValueError):
        made = json.loads((home / MADE).read_text())
        if isinstance(made, list) and all(map(_is_plain_name, made)):
            return made
    return None  # whoever started it did not note it yet, or the file is torn


def _is_plain_name(name: Any) -> bool:
    """Whether it names something in a directory, and nothing beside or beyond it."""
    return isinstance(name, str) and name not in ("", ".", "..") and set(name).isdisjoint("/\\\0")


def environment(settings: Settings) -> dict[str, str]:
    """The settings as the variables another process of the same mesh reads: what is not given is empty."""
    values = settings.model_dump() | dict(settings.outside)
    plain = {variable(name): "" if value is None else str(value) for name, value in values.items()}
    return plain | {f"{name}{IN_A_FILE}": "" for name in plain}  # what was read from a file is given now


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _listens(port: int) -> bool:
    with socket.socket() as s:
        s.settimeout(0.3)
        return s.connect_ex(("127.0.0.1", port)) == 0
