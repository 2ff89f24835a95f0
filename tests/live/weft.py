"""`weft` as people use it: every command is a process of its own."""

import os
import sys
from pathlib import Path
from subprocess import DEVNULL, PIPE, CompletedProcess, Popen, run
from typing import Any

from infra.embedded.instance import environment
from tests.live.harness import LENIENCE, ROOT, LiveMesh

COMMAND = (sys.executable, "-m", "infra.cli")


def weft(at: LiveMesh | Path | None, *arguments: str, patience: float = 120, **around: Any) -> CompletedProcess[str]:
    """A command that ended, well or not: at a live mesh, at the instance of a directory, or at none."""
    surroundings = _surroundings(at, **around)
    return run([*COMMAND, *arguments], capture_output=True, text=True, timeout=LENIENCE * patience, **surroundings)


def printed(at: LiveMesh | Path | None, *arguments: str, **around: Any) -> str:
    """What a command printed, its answer last; it has to end well."""
    done = weft(at, *arguments, **around)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stderr + done.stdout


def started(at: LiveMesh | Path | None, *arguments: str, stdout: int = PIPE, **around: Any) -> Popen[str]:
    """A command that runs."""
    return Popen([*COMMAND, *arguments], stdout=stdout, text=True, **_surroundings(at, **around))


def _surroundings(at: LiveMesh | Path | None, cwd: Path = ROOT, **env: str) -> dict[str, Any]:
    """Of a process: `cwd` is the code it runs."""
    variables = environment(at.settings) if isinstance(at, LiveMesh) else {"WEFT_HOME": str(at)} if at else {}
    return {"env": {**os.environ, **variables, **env}, "cwd": cwd, "stdin": DEVNULL}
