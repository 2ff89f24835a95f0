"""An event loop whose time is virtual: nothing waits, everything happens in an order that a seed decides, and nothing else.

It runs what asyncio runs, one callback after the other, and knows how many have run, so that a process can be ended between
any two of them: at every await. Threads do not exist here: what is sent to one is done at once.

It is asyncio's but for what is done at every turn, which is most of what a world costs. Async generators that nobody reads
to their end are not closed by a task, which would have its turn when the collector of garbage comes.
"""

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

BEGUN_MS = 1_700_000_000_000  # when every world begins
MOST_TURNS = 2_000_000  # of one run; more is a loop that never ends


_Callback = Callable[..., Any]


class Endless(Exception):
    """The simulated world never comes to rest."""


class Turn(asyncio.TimerHandle):
    """What is called at its turn, at once or at some time."""

    __slots__ = ()

    def __init__(self, when: float, callback: _Callback, args: tuple[Any, ...], context: Context | None) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._context = copy_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        """Left where it stands until its turn comes."""
        self._cancelled = True
        self._args = ()


class VirtualLoop(asyncio.BaseEventLoop):
    """`interrupt` is called in front of the turn `interrupt_at`, and of each behind it; `owned` hears of every new task."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.turns = 0
        self.tasks: list[asyncio.Task[Any]] = []  # in their order, which asyncio does not keep
        self.interrupt_at = math.inf
        self.interrupt: Callable[[], None] = lambda: None
        self.owned: Callable[[asyncio.Task[Any]], None] = lambda task: None
        self._turns: deque[Turn] = deque()
        self._timers: list[
            tuple[float, int, Turn]
        ] = []  # what is due at the same time happens in the order it was asked for
        self._timed = 0
        self._is_ending = False

    @property
    def now_ms(self) -> int:
        """What a clock shows that is right."""
        return BEGUN_MS + int(self.now * 1000)

    def time(self) -> float:
        return self.now

    def run_forever(self) -> None:
        asyncio._set_running_loop(self)
        take = self._take_turn
        try:
            while not self._is_ending:
                take()
        finally:
            self._is_ending = False
            asyncio._set_running_loop(None)

    def stop(self) -> None:
        self._is_ending = True

    def _take_turn(self) -> None:
        turns = self._turns
        while not turns:
            if not self._timers:
                raise Endless("nobody is left who could do anything")
            when, _, timer = heapq.heappop(self._timers)
            if not timer._cancelled:
                if when > self.now:
                    self.now = when
                turns.append(timer)
        turn = turns.popleft()
        if turn._cancelled:
            return
        self.turns += 1
        if self.turns >= self.interrupt_at:
            self.interrupt()
        if self.turns > MOST_TURNS:
            raise Endless(f"{MOST_TURNS} turns, and no end")
        try:
            turn._context.run(turn._callback, *turn._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.call_exception_handler({"message": "a callback failed", "exception": error, "handle": turn})

    def call_soon(self, callback: _Callback, *args: Any, context: Context | None = None) -> Turn:  # type: ignore[override]
        turn = Turn(self.now, callback, args, context)
        self._turns.append(turn)
        return turn

    def call_later(self, delay: float, callback: _Callback, *args: Any, context: Context | None = None) -> Turn:  # type: ignore[override]
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: _Callback, *args: Any, context: Context | None = None) -> Turn:  # type: ignore[override]
        turn = Turn(when, callback, args, context)
        self._timed += 1
        heapq.heappush(self._timers, (when, self._timed, turn))
        return turn

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> asyncio.Task[Any]:
        known = None if name is None else str(name)
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=known, context=context)
        self.tasks.append(task)
        self.owned(task)
        return task

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
        loop.interrupt_at = math.inf
        left = [task for task in loop.tasks if not task.done()]
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.tasks.clear()
        asyncio.set_event_loop(None)
        loop.close()
