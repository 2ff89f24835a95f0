"""Processes that have what reading a log needs: imported once, in the server they are forked from."""

import gc
import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

# a fork of a process with threads and connections would not be safe
CONTEXT = multiprocessing.get_context("forkserver")


def _nothing() -> None: ...


def pool(source: str, processes: int, begin: Callable[..., object] = _nothing, *given: Any) -> ProcessPoolExecutor:
    """So many processes that have the mesh of `source`, run `begin(*given)` first, do not hear Ctrl-C, and do not look for
    cycles in what has none.
    """
    CONTEXT.set_forkserver_preload(["infra.read.rebuild.preload", source.partition(":")[0]])
    return ProcessPoolExecutor(processes, CONTEXT, _begin, (begin, *given))


def _begin(begin: Callable[..., object], *given: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches the whole process group; who started us tells us
    gc.disable()
    begin(*given)
