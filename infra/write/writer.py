"""The writer of one partition: decide, append, and believe only the offset that comes back.

One batch is in flight at a time. If it landed where it was expected, the speculation becomes the state; otherwise, or if
nobody can say, the state catches up with the log and what is still undecided is decided again.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from random import random
from typing import Any

import structlog

from infra.errors import Unknown
from infra.kafka.log import CommandSink, EventLog
from infra.kafka.loss import check_end
from infra.wire.envelope import Way
from infra.wire.record import Outgoing, Record
from infra.write.aggregates import Aggregates
from infra.write.decision import CommandHandler, Decision
from infra.write.intents import Intent

_log = structlog.get_logger()


@dataclass(frozen=True)
class Bounds:
    """`far`: offsets to the end of the log; from there on aggregates are folded when they are needed.

    `settled_at_once`: aggregates, some milliseconds; `pause_s`: after that, for others.
    """

    far: int = 50_000
    settled_at_once: int = 300
    pause_s: float = 0.0


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Without the collector of cycles: what a recovery makes by the million has none, and stays."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Writer:
    """Applies commands to one partition, strictly in order; `on_intents` hears of those that were opened."""

    handler_kind: type[CommandHandler] = CommandHandler  # the simulation has kinds without a rule

    def __init__(
        self,
        aggregates: Aggregates,
        log: EventLog,
        sink: CommandSink,
        on_intents: Callable[[Sequence[Intent]], None],
        bounds: Bounds = Bounds(),
    ) -> None:
        self.aggregates = aggregates
        self.conflicts = 0
        self._commands = self.handler_kind(aggregates)
        self._log = log
        self._sink = sink
        self._on_intents = on_intents
        self._bounds = bounds
        self._turn = asyncio.Lock()
        self._own_waits = 0

    async def handle(self, records: Sequence[Record]) -> None:
        """Decide all commands, of one topic; returns when everything they led to is in the log."""
        start = 0
        while start < len(records):
            async with self._turn:
                if not self._own_waits:
                    start = await self._decide(records, start)

    async def handle_own(self, records: Sequence[Record]) -> None:
        """The same of what the context asked itself, before what strangers ask: what was begun is finished first."""
        start = 0
        self._own_waits += 1
        try:
            while start < len(records):
                async with self._turn:
                    start = await self._decide(records, start)
        finally:
            self._own_waits -= 1

    async def _decide(self, records: Sequence[Record], start: int) -> int:
        """Decide the next commands; the first that is not."""
        decision = self._commands.decide(records, start)
        if await self._commit(decision):
            return decision.next
        await self._catch_up()
        return start

    async def _commit(self, decision: Decision) -> bool:
        """Put a decision into the log, and make it the state; False if it is not there, or nobody can say."""
        if not await self._append(decision):
            return False
        if decision.records:
            self.aggregates.merge(decision)
        self._on_intents(self.aggregates.new_intents())  # also of an aggregate that was folded for a duplicate
        return True

    async def _append(self, decision: Decision) -> bool:
        """Put a decision into the log; False if it is not there, or nobody can say."""
        try:
            await self._send_aside(decision)
            if decision.records:
                landed = await self._log.append(self.aggregates.number, decision.records)
                if landed != decision.expected:
                    self.conflicts += 1
                    self._warn("void", expected=decision.expected, landed=landed)
                    return False
        except Unknown as error:
            self._warn("unknown", error=str(error))
            return False
        return True

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
        async with self._turn:
            while records := make(self.aggregates):
                try:
                    await self._log.append(self.aggregates.number, records)
                except Unknown as error:
                    self._warn("unknown", error=str(error))
                await self._catch_up()

    async def settle(self) -> None:
        """Fold what was only taken in, a little at a time, while commands are decided."""
        while self.aggregates.unread:
            self.aggregates.settle(self._bounds.settled_at_once)
            self._on_intents(self.aggregates.new_intents())
            await asyncio.sleep(self._bounds.pause_s)

    async def catch_up(self, end: int | None = None) -> None:
        """Fold to the log's end: behind the barrier, where `settle` follows; or what others appended, up to `end`."""
        async with self._turn:
            if end is None:
                await self._catch_up(self._bounds.far)
            elif end > self.aggregates.next_offset:
                await self._catch_up()

    async def _catch_up(self, far: float = inf) -> None:
        """Fold to the end of the log, for as long as it takes to reach it; if it is `far`, only take it in."""
        delay = 0.1
        while True:
            try:
                await self._fold_to_end(far)
                return
            except Unknown as error:
                self._warn("log unreachable", error=str(error))
                await asyncio.sleep(delay * (0.5 + random()))
                delay = min(delay * 2, 5.0)

    async def _fold_to_end(self, far: float) -> None:
        aggregates, number = self.aggregates, self.aggregates.number
        start, end = aggregates.next_offset, (await self._log.ends([number]))[number]
        check_end(aggregates.context.events_topic, number, end, start)
        if end - start <= far:
            async for records in self._log.read(number, start, end):
                aggregates.fold(records)
        else:
            with nothing_collected():
                async for records in self._log.read(number, start, end):
                    aggregates.take(records)
        self._on_intents(aggregates.new_intents())

    def _warn(self, event: str, **more: Any) -> None:
        _log.warning(event, context=self.aggregates.context.name, partition=self.aggregates.number, **more)
