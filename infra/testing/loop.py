"""An event loop whose time is virtual: nothing waits, everything happens in an order that a seed decides, and nothing else.

It runs what asyncio runs, one callback after the other, and knows how many have run, so that a process can be ended between
any two of them: at every await. Threads do not exist here: what is sent to one is done at once.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from typing import Any

MOST_TURNS = 2_000_000  # of one run; more is a loop that never ends


class Endless(Exception):
    """The simulated world never comes to rest."""


class VirtualLoop(asyncio.BaseEventLoop):
    """`before_turn` is called in front of every callback, with how many have run."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.turns = 0
        self.before_turn: Callable[[int], None] = lambda turn: None

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        scheduled: Any = self._scheduled  # type: ignore[attr-defined]
        while not ready:
            if not scheduled:
                raise Endless("nobody is left who could do anything")
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            if not timer._cancelled:
                self.now = max(self.now, timer._when)
                ready.append(timer)
        handle = ready.popleft()
        if not handle._cancelled:
            self.turns += 1
            if self.turns > MOST_TURNS:
                raise Endless(f"{MOST_TURNS} turns, and no end")
            self.before_turn(self.turns)
            handle._run()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Left in the heap until its time comes."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who had to be woken."""

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except BaseException as error:
            done.set_exception(error)
        return done

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""


def run(loop: VirtualLoop, main: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end; what still runs then is cancelled, and whatever it raises is of no interest."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.before_turn = lambda turn: None
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
