"""Processes that have what reading a log needs: made once, in the server they are forked from (infra/rebuild/preload.py)."""

import gc
import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from infra import mesh

# a fork of a process with threads and connections would not be safe
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["infra.rebuild.preload"])


def _nothing() -> None: ...


def pool(processes: int, begin: Callable[..., object] = _nothing, *given: Any) -> ProcessPoolExecutor:
    """So many processes, that run `begin(*given)` first, do not hear Ctrl-C, and do not look for cycles in what has none."""
    return ProcessPoolExecutor(processes, CONTEXT, _begin, (mesh.grown(), begin, *given))


def _begin(grown: dict[str, mesh.Growth], begin: Callable[..., object], *given: Any) -> None:
    mesh.learn(grown)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches the whole process group; who started us tells us
    gc.disable()
    begin(*given)
