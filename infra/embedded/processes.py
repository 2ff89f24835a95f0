"""Child processes that outlive nobody: each is written down before it can be forgotten.

After kill -9 of the parent its children may go on. The next start finds them in the ledger and ends them, and only
them: a pid counts as ours only with the creation time that was written beside it.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from infra import private
from infra.errors import Unusable

LOG_BYTES = 10 << 20  # what a log may hold until it is put away
OLD_LOGS = 5  # how many of one are kept beside it


class Children:
    """The child processes of one instance, by name; `ledger` is the file that remembers them."""

    def __init__(self, ledger: Path, logs: Path) -> None:
        self._ledger = ledger
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        private.folder(logs)

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start `command` with its output in `<logs>/<name>.log`, out of reach of the terminal's Ctrl-C.

        Its standard input is a pipe that closes with this process: a child of ours that reads it learns of our end.
        """
        with open(self.log_file(name), "ab", opener=private.opener) as log:
            child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
                user=user,
                group=None if user is None else group_of(user),
                extra_groups=None if user is None else [],
                umask=private.UMASK,
            )
        self._running[name] = child
        self._write()
        return child

    def log_file(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def tail(self, name: str, lines: int = 12) -> str:
        log, found = self.log_file(name), list[str]()
        for file in (log, _old(log, 1)):  # it may just have been put away
            if len(found) < lines and file.exists():
                found = [*file.read_text(errors="replace").splitlines(), *found]
        return "\n".join(found[-lines:])

    def bound_logs(self) -> None:
        """Put away the logs that are full, of each the oldest for good.

        They are copied and cut, since a child goes on writing where it always did: Postgres has no bound for what it says,
        and a JVM or an interpreter that crashes does not ask for one. What is said between copy and cut is lost.
        """
        for log in self._logs.glob("*.log"):
            if log.stat().st_size > LOG_BYTES:
                _put_away(log)

    def get(self, name: str) -> subprocess.Popen[bytes] | None:
        return self._running.get(name)

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM, patience: float = 20) -> None:
        """Ask, wait `patience` seconds, then insist."""
        child = self._running.pop(name, None)
        if child is not None:
            if child.stdin:
                child.stdin.close()
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)  # a stopped process cannot end
                child.send_signal(how)
                try:
                    child.wait(patience)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
            self._write()

    def wait_until(self, name: str, ready: Callable[[], bool], patience: float, what: str) -> None:
        """Wait for a condition; raises Unusable with the end of the child's log when it dies or takes too long."""
        deadline = time.monotonic() + patience
        while not ready():
            child = self._running[name]
            if child.poll() is not None:
                raise Unusable(
                    f"{what} ended with code {child.returncode}; the end of {self.log_file(name)}:\n{self.tail(name)}"
                )
            if time.monotonic() > deadline:
                raise Unusable(
                    f"{what} is not ready after {patience:.0f} s; the end of {self.log_file(name)}:\n{self.tail(name)}"
                )
            time.sleep(0.05)

    def _write(self) -> None:
        entries = {}
        for name, child in self._running.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                entries[name] = [child.pid, psutil.Process(child.pid).create_time()]
        private.write(self._ledger, json.dumps(entries))


def _put_away(log: Path) -> None:
    with contextlib.suppress(OSError):  # a full disk: that it is cut matters more
        for number in range(OLD_LOGS, 1, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(_old(log, number - 1), _old(log, number))
        _old(log, 1).touch(0o600)
        shutil.copyfile(log, _old(log, 1))
    os.truncate(log, 0)


def _old(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")


def leftovers(ledger: Path) -> dict[str, psutil.Process]:
    """The processes of an earlier run that are still alive, by name."""
    processes = {}
    with contextlib.suppress(FileNotFoundError, ValueError, AttributeError):  # a torn ledger is an empty one
        for name, (pid, created) in json.loads(ledger.read_text()).items():
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if process.create_time() == created and process.status() != psutil.STATUS_ZOMBIE:
                    processes[name] = process
    return processes


def end_leftovers(ledger: Path) -> list[str]:
    """End what an earlier run left behind, newest first; returns their names."""
    processes = leftovers(ledger)
    for process in reversed(processes.values()):
        _end(process)
    ledger.unlink(missing_ok=True)
    return list(processes)


def _end(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()
        process.terminate()
        try:
            process.wait(10)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(10)


def group_of(user: int) -> int:
    """The number of a user's own group."""
    import pwd

    return pwd.getpwuid(user).pw_gid
