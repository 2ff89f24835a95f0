"""Whole batches into Faust agents, and positions taken from the log: a Faust transport.

Faust delivers record by record through about four tasks and eleven callbacks each; an agent that is given what one poll
returned pays that once a batch (2 instead of 76 microseconds a record). Private parts of faust-streaming 0.15.3 are
touched here and only here; tests/test_faust_contract.py pins them.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any, cast

from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError
from faust.events import Event
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

# One fetch at a time is under way at a broker. One that asks idle partitions only, since what the others brought is not handled
# yet, waits there for so long, and nobody fetches for the others meanwhile: with Faust's 1500 ms a context with an idle topic
# beside a flooded one does 8,000 commands a second in place of 13,000.
FETCH_WAIT_MS = 50
# Five contexts that ask twenty times a second take a third of a core on a machine where nothing happens. After so long all
# partitions are asked together, and what comes is brought at once.
IDLE_FETCH_WAIT_MS = 500
IDLE_S = 5.0
HELD_S = 0.05


class Batch(list[Any]):
    """What one poll brought of one partition; `reading` is how often that was begun anew before."""

    def __init__(self, records: list[Any], reading: int) -> None:
        super().__init__(records)
        self.reading = reading


class PollingThread(driver.AIOKafkaConsumerThread):
    """Faust's, whose fetches are not held back for long by partitions that have nothing.

    A log has one owner, so the same partitions of topics of as many are given out together: by ranges. Faust's round-robin does
    that only for as many processes as divide the partitions; of three, each had other partitions of either command topic.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._partition_assignment_strategy = (RangePartitionAssignor,)
        return consumer

    def wait_for(self, milliseconds: int) -> None:
        """How long a broker that has nothing lets the next fetches wait."""
        if self._consumer is not None and (fetcher := self._consumer._fetcher) is not None:
            fetcher._fetch_max_wait_ms = milliseconds


class BatchConsumer(driver.Consumer):
    """Delivers each partition's polled records as the value of one event; its offset is that of the last record."""

    position_of: Callable[[TP], int | None] = staticmethod(lambda tp: None)
    _seeks = 0  # how often positions were set; what was fetched under an older count is not what comes next

    def __init__(self, *args: Any, **known: Any) -> None:
        super().__init__(*args, **known)
        self._readings: dict[TP, int] = defaultdict(int)
        self._to_reread: set[TP] = set()
        self._held: set[TP] = set()

    def _new_consumer_thread(self) -> PollingThread:
        return PollingThread(self, loop=self.loop, beacon=self.beacon)

    def reading(self, tp: TP) -> int:
        """How often reading this partition was begun anew while it was ours."""
        return self._readings[tp]

    def reread(self, tp: TP) -> None:
        """Read one partition from its position again, after the poll that is under way; what was fetched before is dropped."""
        self._readings[tp] += 1
        self._to_reread.add(tp)
        self.go_on(tp)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        """Of those that are active now: if the last one is held meanwhile, none would be taken for all."""
        return await super()._getmany(active_partitions and set(active_partitions), timeout)

    def hold(self, tp: TP) -> None:
        """Fetch no more of one partition, so that its records do not stand in the way of others'."""
        if tp not in self._held:
            self._held.add(tp)
            self.pause_partitions({tp})

    def go_on(self, tp: TP) -> None:
        if tp in self._held:
            self._held.discard(tp)
            self.resume_partitions({tp} & self.assignment())

    async def _go_back(self) -> set[TP]:
        """Seek where it was asked for; no poll may be under way, for it could bring what it finds behind the seek."""
        asked, self._to_reread = self._to_reread, set()
        for tp in asked & self.assignment():
            await self._go_to(tp, self.position_of(tp) or 0)
        return asked

    async def _go_to(self, tp: TP, position: int) -> None:
        await self.seek(tp, position)
        self._committed_offset[tp] = position or None
        for book in (self._acked, self._acked_index, self._gap):
            book.pop(tp, None)

    async def perform_seek(self) -> None:
        """Seek to the log's own cursor where there is one, else to what the group committed, else to the beginning.

        Group offsets are a hint: they expire, can be moved by hand, and Faust commits past failures. Faust leaves a
        partition without a committed offset where the last fetch ended, also when that fetch was dropped; and it keeps
        what was acknowledged while a partition was revoked, with which it would commit what nobody has handled yet.
        """
        self._seeks += 1
        for tp in list(self._held):
            self.go_on(tp)  # what waited was dropped
        if not self.assignment():
            return
        committed = await self.seek_to_committed()
        for tp in self.assignment():
            cursor = self.position_of(tp)
            position = (committed.get(tp) or 0) if cursor is None else cursor
            await self._go_to(tp, position)

    async def _placed(self, seeks: int, has_records: bool) -> set[TP] | None:
        """Those that are read anew from now on; None if what a poll brought is not what comes next, positions set meanwhile."""
        try:
            again = await self._go_back()
            if self.flow_active and self._seeks == seeks:
                return again
            if has_records and not self.should_stop:
                await self.perform_seek()
        except IllegalStateError:
            pass  # partitions are being taken away: whoever gives them out again has positions set
        return None

    async def _drain_messages(self, fetcher: Any) -> None:
        def stopped() -> bool:
            return bool(self._stopped.is_set() or fetcher._stopped.is_set())

        loop = asyncio.get_running_loop()
        last = loop.time()
        try:
            while not stopped():
                seeks = self._seeks
                # who is fetching hears of none that goes on meanwhile
                records, active = await self._wait_next_records(HELD_S if self._held else 1.0)
                last = loop.time() if records else last
                cast(PollingThread, self._thread).wait_for(
                    FETCH_WAIT_MS if loop.time() - last < IDLE_S else IDLE_FETCH_WAIT_MS
                )
                generation = self.app.consumer_generation_id
                again = await self._placed(seeks, bool(records))
                if not records or again is None or self.should_stop:
                    await self.sleep(0)
                else:
                    for tp, found in records.items():
                        if not self.flow_active or self._seeks != seeks:
                            break  # positions are set anew before the flow resumes
                        place = TP(tp.topic, tp.partition)
                        is_ours = active is None or tp in active or place in self._held  # also if it is held by now
                        if is_ours and place not in again | self._to_reread:
                            await self._deliver(place, found, generation)
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise

    async def _deliver(self, tp: TP, records: list[Any], generation: int) -> None:
        channels = cast(Any, self.app.topics)._tp_index.get(tp)
        if not channels:
            return
        seeks, reading, read = self._seeks, self.reading(tp), self._read_offset[tp]
        first, last = records[0].offset, records[-1].offset
        start = first if read is None or first == read else read + 1
        if last > start:
            self._gap[tp].addi(start, last)  # acking `last` then commits the whole batch
        message = ConsumerMessage(
            tp.topic,
            tp.partition,
            last,
            records[-1].timestamp / 1000.0,
            0,
            None,
            None,
            None,
            None,
            0,
            0,
            tp,
            generation_id=generation,
        )
        message.incref(len(channels))
        await self.app.flow_control.acquire()
        batch = Batch(records, reading)
        for channel in channels:
            await self.wait_first(channel.put(Event(self.app, None, batch, None, message)), self.suspend_flow.wait())
        if self._seeks == seeks and self.reading(tp) == reading:
            self._read_offset[tp] = last
        self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))


class BatchTransport(driver.Transport):
    Consumer = BatchConsumer
