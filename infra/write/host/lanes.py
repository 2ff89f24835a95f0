"""Batches in order: one lane a partition of a topic, each handled and acknowledged before the next.

Acknowledging a later batch commits the earlier one too. So once a batch was dropped nothing after it may be handled
until positions are set anew: lanes are closed as a whole, and opened again behind the barrier.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

DEPTH = 8  # batches that may wait in a lane

Handle = Callable[[Any], Awaitable[None]]


class Lanes:
    """`handler_of` gives the handler of a place; `failed` hears of an error in one."""

    def __init__(self, handler_of: Callable[[Any], Handle], failed: Callable[[BaseException], None]) -> None:
        self._handler_of = handler_of
        self._failed = failed
        self._lanes: dict[Hashable, tuple[asyncio.Queue[Any], asyncio.Task[None]]] = {}
        self._open = False

    def open(self) -> None:
        self._open = True

    async def put(self, place: Hashable, batch: Any) -> None:
        """Wait for room in the lane of `place`; while the lanes are closed, a batch is dropped, to be read again."""
        if not self._open:
            return
        if place not in self._lanes:
            queue: asyncio.Queue[Any] = asyncio.Queue(DEPTH)
            task = asyncio.create_task(self._run(queue, self._handler_of(place)))
            task.add_done_callback(self._ended)
            self._lanes[place] = (queue, task)
        await self._lanes[place][0].put(batch)

    async def close(self) -> None:
        """Drop everything that is not acknowledged yet, also what somebody is waiting to put in."""
        self._open = False
        lanes, self._lanes = self._lanes, {}
        for _, task in lanes.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in lanes.values()), return_exceptions=True)
        for queue, _ in lanes.values():
            while not queue.empty():
                queue.get_nowait()  # lets go of whoever waits for room

    async def _run(self, queue: asyncio.Queue[Any], handle: Handle) -> None:
        while True:
            await handle(await queue.get())

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._open = False
            self._failed(error)
