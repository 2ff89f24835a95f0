"""Deadlines: when a moment that a state named has come, the command due then is posted.

Timers come from folded state, never from a store of their own: after a recovery they are simply set again. A timer that
fires late, twice or in vain does no harm, since its command has an id of its own and the aggregate's log decides.
"""

import asyncio
import heapq
import time
from collections.abc import Callable, Sequence

import structlog

from infra.kafka.log import CommandSink, addressed, until_known
from infra.wire.avro import Codec
from infra.wire.envelope import DUE_OF, Cause
from infra.wire.record import Outgoing
from infra.write.intents import Intent
from infra.write.reactions import outgoing_command

_log = structlog.get_logger()

AT_ONCE = 1000  # commands posted together when many moments have come
LONGEST_SLEEP = 1.0  # a clock may be set; sleeping in short turns follows it


def moment(intent: Intent) -> int:
    """When a Due is due, in milliseconds since the epoch."""
    return intent.at + 1000 * int(intent.wanted.after_s)


def due_command(codec: Codec, intent: Intent) -> Outgoing:
    """The command of a Due whose moment has come; it happens at that moment or later, never before."""
    cause = Cause(intent.correlation, intent.key, moment(intent))
    return outgoing_command(codec, intent.wanted.command, f"{intent.key}/due", cause, (DUE_OF, intent.key.encode()))


class Timers:
    """The timers of the partitions one process owns. `still_open` says whether an intent still stands, and is ours."""

    def __init__(
        self,
        codec: Codec,
        sink: CommandSink,
        topic: str,
        partitions: int,
        still_open: Callable[[Intent], bool],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._codec = codec
        self._sink = sink
        self._topic = topic
        self._partitions = partitions
        self._still_open = still_open
        self._now = now
        self._heap: list[tuple[int, str, Intent]] = []
        self._sooner = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, intents: Sequence[Intent]) -> None:
        """Set a timer for each; one that is set twice fires twice, under one command id."""
        first = self._heap[0][0] if self._heap else None
        for intent in intents:
            heapq.heappush(self._heap, (moment(intent), intent.key, intent))
        if self._heap and (first is None or self._heap[0][0] < first):
            self._sooner.set()

    async def run(self) -> None:
        """Fire timers until cancelled."""
        while True:
            self._sooner.clear()
            if due := self.take():
                records = [due_command(self._codec, intent) for intent in due]
                _log.info("deadlines", topic=self._topic, count=len(due))
                await until_known(lambda r=records: self._sink.send(self._topic, addressed(r, self._partitions)))  # type: ignore[misc]
                continue
            try:
                await asyncio.wait_for(self._sooner.wait(), self._pause())
            except TimeoutError:
                pass

    def take(self) -> list[Intent]:
        """Those whose moment has come, soonest first, up to `AT_ONCE`; what no longer stands is dropped on the way."""
        now = self._now() * 1000
        found: list[Intent] = []
        while self._heap and self._heap[0][0] <= now and len(found) < AT_ONCE:
            intent = heapq.heappop(self._heap)[2]
            if self._still_open(intent):
                found.append(intent)
        return found

    def _pause(self) -> float:
        if not self._heap:
            return LONGEST_SLEEP
        return min(LONGEST_SLEEP, max(0.0, self._heap[0][0] / 1000 - self._now()))
