"""Batches in order: one lane a partition of a topic, each handled and acknowledged before the next.

Acknowledging a later batch commits the earlier one too. So once a batch was dropped nothing after it may be handled
until positions are set anew: lanes are closed as a whole, and opened again behind the barrier.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from infra.wire.record import Record

STUCK_S = 30.0  # a lane that has not moved for so long waits for something that is away
HISTORY_S = 30.0  # what was there so long before the lanes were opened was heard by nobody yet, and is in no hurry

Place = tuple[str, int]  # topic, partition
Handle = Callable[[Sequence[Record]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one poll brought of one partition. `is_current` says whether the group has not been shuffled since."""

    records: Sequence[Record]
    is_current: Callable[[], bool]
    acknowledge: Callable[[], object]


Lane = tuple[asyncio.Queue[Delivery], asyncio.Task[None]]


class Lanes:
    """`handler_of` gives the handler of a place, None if it is not handled here; `failed` hears of an error in one."""

    def __init__(
        self,
        handler_of: Callable[[Place], Handle | None],
        failed: Callable[[BaseException], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._handler_of = handler_of
        self._failed = failed
        self._now = now
        self._lanes: dict[Place, Lane] = {}
        self._waiting: dict[Place, int] = {}  # records that were put in and are not acknowledged
        self._newest: dict[Place, Record] = {}
        self._moved: dict[Place, float] = {}
        self._opened = 0.0
        self._open = False
        self._shut: set[Place] = set()

    def open(self, shut: Collection[Place] = ()) -> None:
        """Let everything in but what is for these places."""
        self._open, self._shut, self._opened = True, set(shut), self._now()

    async def shut(self, place: Place) -> None:
        """Drop what is not acknowledged of one place, and what comes for it, until it is let in again."""
        self._shut.add(place)
        self._newest.pop(place, None)
        if lane := self._lanes.pop(place, None):
            await _dropped([lane])

    def let_in(self, place: Place) -> None:
        self._shut.discard(place)

    def put(self, place: Place, delivery: Delivery) -> None:
        """Into the lane of `place`; while the lanes are closed, a batch is dropped, to be read again.

        So is one that was fetched before the group was shuffled: its place may be somebody else's by now.
        """
        if not self._open or place in self._shut or not delivery.is_current():
            return
        if place not in self._lanes:
            if (handle := self._handler_of(place)) is None:
                return
            queue: asyncio.Queue[Delivery] = asyncio.Queue()
            task = asyncio.create_task(self._run(place, queue, handle))
            task.add_done_callback(self._ended)
            self._lanes[place], self._waiting[place] = (queue, task), 0
        if not self._waiting[place]:
            self._moved[place] = self._now()
        self._waiting[place] += len(delivery.records)
        self._newest[place] = delivery.records[-1]
        self._lanes[place][0].put_nowait(delivery)

    def depth(self, place: Place) -> int:
        """How many batches wait in a lane: who brings more has nobody wait for it, and stops in time by himself."""
        return self._lanes[place][0].qsize() if place in self._lanes else 0

    def waiting(self, *, besides: str) -> int:
        """How many records there are to handle but of this topic, in lanes that move, and are not at history."""
        moving, history = self._now() - STUCK_S, (self._opened - HISTORY_S) * 1000
        places = [place for place in self._lanes if place[0] != besides and self._waiting[place]]
        return sum(
            self._waiting[place]
            for place in places
            if self._moved[place] > moving and self._newest[place].timestamp > history
        )

    async def close(self) -> None:
        """Drop everything that is not acknowledged yet."""
        self._open = False
        lanes, self._lanes = self._lanes, {}
        self._newest.clear()
        await _dropped(list(lanes.values()))

    async def _run(self, place: Place, queue: asyncio.Queue[Delivery], handle: Handle) -> None:
        while True:
            delivery = await queue.get()
            if delivery.is_current():
                await handle(delivery.records)
                delivery.acknowledge()
            self._waiting[place] -= len(delivery.records)
            self._moved[place] = self._now()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._open = False
            self._failed(error)


async def _dropped(lanes: Sequence[Lane]) -> None:
    for _, task in lanes:
        task.cancel()
    await asyncio.gather(*(task for _, task in lanes), return_exceptions=True)
