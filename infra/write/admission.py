"""What a process has begun goes before what strangers ask of it.

Within a partition a context's own commands come first. But contexts of one process share its time, and what was begun in one
goes on in the others: a flood of new orders would have each of them wait for all. So strangers' commands are let in as fast as
what they lead to is done: none while the process is at what was begun, as far as they can wait, and ever more at once while it
is not (additive steps would find too late how much that may be: the windows of TCP, RFC 5681, double as well).
"""

import asyncio
from collections.abc import Callable

LEAST, MOST = 2, 800  # commands of a partition that are let in at once
ENOUGH = 50  # of what was begun that may wait in the process: fewer would be batches of one
PATIENCE_S = 0.2  # that strangers wait at most before a few of them are let in
PAUSE_S = 0.002
IDLE_S = 1.0  # after which nobody knows any more how many is too many


class Admission:
    """Of one process."""

    def __init__(self) -> None:
        self._window = LEAST
        self._last = 0.0
        self._waiting: list[Callable[[], int]] = []

    def heed(self, waiting: Callable[[], int]) -> None:
        """Let strangers wait while so much of what was begun, with others, is too much."""
        self._waiting.append(waiting)

    async def window(self) -> int:
        """Wait until strangers may come in; how many of them."""
        loop = asyncio.get_running_loop()
        until, waited = loop.time() + PATIENCE_S, False
        while sum(waiting() for waiting in self._waiting) > ENOUGH and loop.time() < until:
            waited = True
            await asyncio.sleep(PAUSE_S)
        if waited:
            self._window = max(LEAST, self._window // 2)
        else:
            self._window = min(MOST, self._window * 2) if loop.time() - self._last < IDLE_S else LEAST
        self._last = loop.time()
        return self._window
