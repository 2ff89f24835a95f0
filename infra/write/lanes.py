"""Batches in order: one lane a partition of a topic, each handled and acknowledged before the next.

Acknowledging a later batch commits the earlier one too. So once a batch was dropped nothing after it may be handled
until positions are set anew: lanes are closed as a whole, and opened again behind the barrier.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from infra.wire.record import Record

DEPTH = 8  # batches that may wait in a lane

Place = tuple[str, int]  # topic, partition
Handle = Callable[[Sequence[Record]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one poll brought of one partition. `is_current` says whether the group has not been shuffled since."""

    records: Sequence[Record]
    is_current: Callable[[], bool]
    acknowledge: Callable[[], object]


class Lanes:
    """`handler_of` gives the handler of a place; `failed` hears of an error in one."""

    def __init__(self, handler_of: Callable[[Place], Handle], failed: Callable[[BaseException], None]) -> None:
        self._handler_of = handler_of
        self._failed = failed
        self._lanes: dict[Place, tuple[asyncio.Queue[Delivery], asyncio.Task[None]]] = {}
        self._open = False

    def open(self) -> None:
        self._open = True

    async def put(self, place: Place, delivery: Delivery) -> None:
        """Wait for room in the lane of `place`; while the lanes are closed, a batch is dropped, to be read again.

        So is one that was fetched before the group was shuffled: its place may be somebody else's by now.
        """
        if not self._open or not delivery.is_current():
            return
        if place not in self._lanes:
            queue: asyncio.Queue[Delivery] = asyncio.Queue(DEPTH)
            task = asyncio.create_task(self._run(queue, self._handler_of(place)))
            task.add_done_callback(self._ended)
            self._lanes[place] = (queue, task)
        await self._lanes[place][0].put(delivery)

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

    async def _run(self, queue: asyncio.Queue[Delivery], handle: Handle) -> None:
        while True:
            delivery = await queue.get()
            if delivery.is_current():
                await handle(delivery.records)
                delivery.acknowledge()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._open = False
            self._failed(error)
