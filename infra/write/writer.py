"""The writer of one partition: decide, append, and believe only the offset that comes back.

One batch is in flight at a time. If it landed where it was expected, the speculation becomes the state; otherwise, or if
nobody can say, the state catches up with the log and what is still undecided is decided again.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from random import random
from typing import Any

import structlog

from infra.errors import Unknown
from infra.kafka.log import CommandSink, EventLog
from infra.kafka.loss import check_end
from infra.wire.envelope import Way
from infra.wire.inbox import MAX_CLOCK_SKEW_MS
from infra.wire.record import Outgoing, Record
from infra.write.admission import PATIENCE_S, Admission
from infra.write.aggregates import Aggregates
from infra.write.decision import CommandHandler, Decision
from infra.write.intents import Intent
from infra.write.state import State

_log = structlog.get_logger()

FOLDED_AT_ONCE = 1000  # events, some milliseconds
DOUBT_S = 60.0  # between two words about a clock


@dataclass(frozen=True)
class Bounds:
    """`far`: offsets to the end of the log; from there on aggregates are folded when they are needed.

    `settled_at_once`: aggregates, some milliseconds; `pause_s`: after that, for others.
    """

    far: int = 50_000
    settled_at_once: int = 300
    pause_s: float = 0.0


@contextlib.contextmanager
def nothing_collected() -> Iterator[None]:
    """Without the collector of cycles: what a recovery makes by the million has none, and is not looked at afterwards."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Writer:
    """Applies commands to one partition, strictly in order.

    `on_intents` hears of those that were opened, `on_much` that much has changed since it was written down, `on_early` of
    deadlines that were called before their moment, and when (ms). `now` is this host's clock (s).
    """

    handler_kind: type[CommandHandler] = CommandHandler  # the simulation has kinds without a rule

    def __init__(
        self,
        state: State,
        log: EventLog,
        sink: CommandSink,
        on_intents: Callable[[Sequence[Intent]], None],
        bounds: Bounds = Bounds(),
        on_much: Callable[[], None] = lambda: None,
        admission: Admission | None = None,
        on_early: Callable[[Intent, int], None] = lambda intent, at: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.state = state
        self.aggregates = aggregates = state.aggregates
        self.conflicts = 0
        self._commands = self.handler_kind(aggregates)
        self._log = log
        self._sink = sink
        self._on_intents = on_intents
        self._on_much = on_much
        self._on_early = on_early
        self._now = now
        self._doubt_from = 0.0
        self._admission = admission or Admission()
        self._bounds = bounds
        self._turn = asyncio.Lock()
        self._pauses = _pauses()
        self._own_done = asyncio.Event()
        self._own_done.set()
        self._sources: dict[Way, str] = {}
        self._is_recovered = False
        self._is_closed = False

    def read_from(self, way: Way, topic_id: str) -> None:
        """What comes by a way from now on is of this topic. While the log names another one nothing of it is decided.

        Somebody may have had the log go on in another topic before anybody here has looked: what was fetched of the one of
        before stands at other places, and where it is decided the cursor would pass over what is there now.
        """
        self._sources[way] = topic_id

    async def handle(self, records: Sequence[Record]) -> None:
        """Decide all commands, of one topic; returns when everything they led to is in the log."""
        start = end = 0
        while start < len(records):
            if start == end:
                end += await self._admission.admit(len(records) - start)
            if not self._own_done.is_set():
                await self._wait_for_own()
            async with self._turn:
                start = await self._decide(records[:end], start)

    async def _wait_for_own(self) -> None:
        """But not for ever: who asks itself without an end does not keep others out."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while not self._own_done.is_set():  # one batch of its own may be followed by another
                    await self._own_done.wait()

    async def handle_own(self, records: Sequence[Record]) -> None:
        """The same of what the context asked itself, before what strangers ask: what was begun is finished first."""
        start = 0
        self._own_done.clear()
        try:
            while start < len(records):
                async with self._turn:
                    start = await self._decide(records, start)
        finally:
            self._own_done.set()

    async def _decide(self, records: Sequence[Record], start: int) -> int:
        """Decide the next commands; the first that is not."""
        asked = self._commands.read(records, start, self._latest_of(records))
        if not self._is_named(asked.way):
            return len(records)  # what is there now is read when it has been looked at
        await self.state.fetch(*self._commands.about(asked))
        decision = self._commands.decide(asked)
        for early in decision.early:
            self._on_early(*early)
        if await self._commit(decision):
            if decision.next > start:
                self.aggregates.inbound.pass_by(asked.way, records[decision.next - 1].offset + 1)
            return decision.next
        await self._catch_up()
        return start

    def _is_named(self, way: Way) -> bool:
        """Whether what comes by a way is of the topic that the log names."""
        named = self.aggregates.inbound.topic_ids[way]
        return self._sources.get(way, named) == named

    async def pass_by(self, way: Way, cursor: int) -> None:
        """What lies in front of this was handled, or nobody asked it in the end."""
        async with self._turn:
            if self._is_named(way):
                self.aggregates.inbound.pass_by(way, cursor)

    def _latest_of(self, records: Sequence[Record]) -> float:
        """The latest time (ms) that a broker's clock can show; one of which these were appended later is said."""
        now = self._now() * 1000
        ahead = max(record.timestamp for record in records) - now
        if ahead > MAX_CLOCK_SKEW_MS and now >= self._doubt_from:
            self._doubt_from = now + DOUBT_S * 1000
            self._warn("the broker's clock is ahead of this host's, and is not believed", seconds=round(ahead / 1000))
        return now + MAX_CLOCK_SKEW_MS

    async def _commit(self, decision: Decision) -> bool:
        """Put a decision into the log, and make it the state; False if it is not there, or nobody can say."""
        if not await self._append(decision):
            return False
        if decision.records:
            self.aggregates.merge(decision)
        self._tell_intents()  # also of an aggregate that was folded for a duplicate
        if self.state.is_much:
            self._on_much()
        return True

    async def _append(self, decision: Decision) -> bool:
        """Put a decision into the log; False if it is not there, or nobody can say.

        A decision without events meets no expected offset. It may rest on what is not known yet, such as that something is
        open again which a command answers; but that was in the log before the command was asked, so a look at the end will do.
        """
        try:
            if not decision.records and not await self._is_at_end():
                return False
            await self._send_aside(decision)
            if decision.records:
                landed = await self._log.append(self.aggregates.number, decision.records)
                if landed != decision.expected:
                    self.conflicts += 1
                    self._warn("void", expected=decision.expected, landed=landed)
                    return False
        except Unknown as error:
            self._warn("unknown", error=str(error))
            await asyncio.sleep(next(self._pauses))
            return False
        self._pauses = _pauses()
        return True

    async def _is_at_end(self) -> bool:
        number = self.aggregates.number
        return (await self._log.ends([number]))[number] == self.aggregates.next_offset

    async def _send_aside(self, decision: Decision) -> None:
        """What must be safe before its answer is in the log, or before the cursor passes it."""
        context, number = self.aggregates.context, self.aggregates.number
        if decision.forwards:
            topic = context.own_topic if decision.way is Way.OWN else context.commands_topic
            await self._sink.send(topic, [(posted.partition, posted.forwarded()) for posted in decision.forwards])
        if decision.dead:
            await self._sink.send(context.dead_topic, [(number, letter) for letter in decision.dead])

    async def note(self, make: Callable[[Aggregates], Sequence[Outgoing]]) -> None:
        """Append what the log says of itself, made of what is known; until there is nothing left to say.

        Whatever became of an append, what is known afterwards is what the log says.
        """
        pauses = _pauses()
        async with self._turn:
            while records := make(self.aggregates):
                try:
                    await self._log.append(self.aggregates.number, records)
                except Unknown as error:
                    self._warn("unknown", error=str(error))
                    await asyncio.sleep(next(pauses))
                await self._catch_up()

    # -- what others appended

    async def recover(self) -> list[Intent]:
        """Fold to the log's end, behind the barrier, where `settle` follows; what is open, and not written down yet.

        What was opened on the way may be closed again at the end, so nobody hears of it before.
        """
        async with self._turn:
            await self._catch_up(self._bounds.far)
            self._is_recovered = True
            self.aggregates.new_intents()
            return self.aggregates.unwritten_intents()

    async def settle(self) -> None:
        """Fold what was only taken in, a little at a time, while commands are decided."""
        while self.aggregates.unread:
            async with self._turn:
                if self._is_closed:
                    return
                await self._settle_some()
                self._tell_intents()
            await asyncio.sleep(self._bounds.pause_s)

    async def catch_up(self, end: int | None = None) -> None:
        """Fold to the log's end, or what others appended up to `end`."""
        async with self._turn:
            if not self._is_closed and (end is None or end > self.aggregates.next_offset):
                await self._catch_up()

    async def write_down(self) -> None:
        """Have on disk what changed, and in memory what there is room for."""
        await self.state.write()
        async with self._turn:
            await self.state.trim()

    async def close(self) -> None:
        """Let go of the partition: what it knows is on disk, for whoever has it next."""
        async with self._turn:
            self._is_closed = True
            await self.state.close()

    async def _catch_up(self, far: float = inf) -> None:
        """Fold to the end of the log, for as long as it takes to reach it; if it is `far`, only take in the last of it."""
        pauses = _pauses()
        while True:
            try:
                await self._fold_to_end(far)
                return
            except Unknown as error:
                self._warn("log unreachable", error=str(error))
                await asyncio.sleep(next(pauses))

    async def _fold_to_end(self, far: float) -> None:
        aggregates, number = self.aggregates, self.aggregates.number
        start, end = aggregates.next_offset, (await self._log.ends([number]))[number]
        check_end(aggregates.context.events_topic, number, end, start)
        if end - start <= far:
            async for records in self._log.read(number, start, end):
                await self._fold(records)
        else:
            with nothing_collected():
                async for records in self._log.read(number, start, end):
                    await self._take(records)
        aggregates.pass_to(end)
        self._tell_intents()

    async def _fold(self, records: Sequence[Record]) -> None:
        for piece in _pieces(records, FOLDED_AT_ONCE):
            await self._fetch(record.key or b"" for record in piece)
            self.aggregates.fold(piece)
            if self.state.is_much:
                await self._make_room()

    async def _take(self, records: Sequence[Record]) -> None:
        await self._fetch(self.aggregates.taken_at_once(records))
        self.aggregates.take(records)
        if self.aggregates.unread_events >= self.state.room_for_events:
            while self.aggregates.unread:
                await self._settle_some()
                await asyncio.sleep(0)
            await self._make_room()

    async def _settle_some(self) -> None:
        keys = list(islice(self.aggregates.unread, self._bounds.settled_at_once))
        await self._fetch(keys)
        self.aggregates.settle(keys, FOLDED_AT_ONCE)

    async def _fetch(self, keys: Iterable[bytes]) -> None:
        await self.state.fetch(slot for key in keys for slot in self.aggregates.slots_of(key))

    async def _make_room(self) -> None:
        await self.state.write()
        await self.state.trim()
        if not self._is_recovered:
            self.aggregates.new_intents()  # they are on disk

    def _tell_intents(self) -> None:
        if self._is_recovered:
            self._on_intents(self.aggregates.new_intents())

    def _warn(self, event: str, **more: Any) -> None:
        _log.warning(event, context=self.aggregates.context.name, partition=self.aggregates.number, **more)


def _pauses() -> Iterator[float]:
    """How long to wait before each next try, in seconds: longer and longer, and never all together."""
    delay = 0.1
    while True:
        yield delay * (0.5 + random())
        delay = min(delay * 2, 5.0)


def _pieces(records: Sequence[Record], most: int) -> Iterator[Sequence[Record]]:
    for start in range(0, len(records), most):
        yield records[start : start + most]
