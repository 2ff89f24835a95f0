"""What a process has begun goes before what strangers ask of it.

Within a partition a context's own commands come first. But contexts of one process share its time, and what was begun in one
goes on in the others: a flood of new orders would have each of them wait for all. So strangers' commands are let in as fast as
what they lead to is done: none while more of what was begun waits than may, some more each turn while less does, and twice
as many each turn while nothing does at all: then they lead to nothing here. What leads to something shows only when that comes
back, many turns later, so a flood that were let in ever faster would be in before it is seen (RFC 5681, of TCP, tells slow start
from congestion avoidance for the same reason).
"""

import asyncio
from collections.abc import Callable
from math import inf

FIRST, MORE, MOST = 8, 4, 20_000  # commands that are let in a turn
TURN_S = 0.05
ENOUGH = 50  # of what was begun that may wait in the process: fewer would be batches of one
LEAST, PATIENCE_S = 2, 0.2  # strangers wait so long at most before a few of them are let in
PAUSE_S = 0.005
IDLE_S = 1.0  # after which nobody knows any more how many is too many


class Admission:
    """Of one process."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], int]] = []
        self._line = (
            asyncio.Lock()
        )  # of many that ask, who asks first is let in first, so that no partition goes without
        self._size = FIRST
        self._left = 0
        self._begun = -inf
        self._most = 0  # of what was begun, that was seen to wait in this turn

    def heed(self, waiting: Callable[[], int]) -> None:
        """Let strangers wait while so much of what was begun, with others, is too much."""
        self._waiting.append(waiting)

    async def admit(self, wanted: int) -> int:
        """Wait until strangers may come in; how many of them, one at least.

        Who wants many waits in line; who wants few does not wait behind them.
        """
        if wanted <= LEAST:
            await self._room()
            return self._let_in(wanted)
        async with self._line:
            await self._room()
            return self._let_in(wanted)

    def _let_in(self, wanted: int) -> int:
        admitted = min(wanted, self._left)
        self._left -= admitted
        return admitted

    async def _room(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_S
        while True:
            now, begun = loop.time(), sum(waiting() for waiting in self._waiting)
            self._most = max(self._most, begun)
            is_crowded = begun > ENOUGH
            if now - self._begun >= TURN_S:
                self._begin(now)
            if self._left and not is_crowded:
                return
            if now >= until:
                self._left = max(self._left, LEAST)
                return
            await asyncio.sleep(PAUSE_S if is_crowded else max(PAUSE_S, self._begun + TURN_S - now))

    def _begin(self, now: float) -> None:
        """A turn: with half as many as the last one if that was too much, with more if they were too few."""
        if now - self._begun > IDLE_S:
            self._size = FIRST
        elif self._most > ENOUGH:
            self._size = max(LEAST, self._size // 2)
        elif not self._left:
            self._size = min(MOST, self._size + MORE if self._most else self._size * 2)
        self._begun, self._left, self._most = now, self._size, 0
