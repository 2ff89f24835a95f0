"""Ctrl-C and SIGTERM as a question a loop can ask."""

import contextlib
import signal
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """A function that tells whether Ctrl-C or SIGTERM arrived; a second one is not waited for."""
    got: list[int] = []

    def note(signum: int, _: object) -> None:
        if got:
            signal.signal(signum, signal.SIG_DFL)
        got.append(signum)

    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(got)
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
