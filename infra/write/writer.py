"""The writer of one partition: decide, append, and believe only the offset that comes back.

One batch is in flight at a time. If it landed where it was expected, the speculation becomes the state; otherwise, or if
nobody can say, the state catches up with the log and what is still undecided is decided again.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import random

import structlog

from infra.errors import Unknown
from infra.kafka.log import CommandSink, EventLog
from infra.kafka.loss import check_end
from infra.wire.record import Record
from infra.write.partition import Intent, Partition

_log = structlog.get_logger()

FAR = 50_000  # offsets to the end of the log; from there on aggregates are folded when they are needed
SETTLED_AT_ONCE = 300  # aggregates, some milliseconds


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Without the collector of cycles: what a recovery makes by the million has none, and stays."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Writer:
    """Applies commands to one partition, strictly in order."""

    def __init__(
        self, partition: Partition, log: EventLog, sink: CommandSink, opened: Callable[[Sequence[Intent]], None]
    ) -> None:
        self.partition = partition
        self.conflicts = 0
        self._log = log
        self._sink = sink
        self._opened = opened
        self._turn = asyncio.Lock()

    async def handle(self, records: Sequence[Record]) -> None:
        """Decide all commands; returns when everything they led to is in the log."""
        async with self._turn:
            start = 0
            while start < len(records):
                decision = self.partition.decide(records, start)
                context = self.partition.context
                try:
                    if decision.forwards:
                        await self._sink.send(context.commands_topic, decision.forwards)
                    if decision.dead:
                        await self._sink.send(
                            context.dead_topic, [(self.partition.number, letter) for letter in decision.dead]
                        )
                    if decision.records:
                        base = await self._log.append(self.partition.number, decision.records)
                        if base != decision.expected:
                            self.conflicts += 1
                            _log.warning(
                                "void",
                                context=context.name,
                                partition=self.partition.number,
                                expected=decision.expected,
                                landed=base,
                            )
                            await self._catch_up()
                            continue
                        self.partition.merge(decision)
                        self._opened(self.partition.opened())
                except Unknown as error:
                    _log.warning("unknown", context=context.name, partition=self.partition.number, error=str(error))
                    await self._catch_up()
                    continue
                start = decision.next

    async def settle(self) -> None:
        """Fold what was only taken in, a little at a time, while commands are decided."""
        while self.partition.unread:
            self.partition.settle(SETTLED_AT_ONCE)
            self._opened(self.partition.opened())
            await asyncio.sleep(0)

    async def catch_up(self, end: int | None = None) -> None:
        """Fold what others have appended, up to the log's end."""
        async with self._turn:
            if end is None or end > self.partition.next_offset:
                await self._catch_up()

    async def _catch_up(self) -> None:
        """Fold to the end of the log, for as long as it takes to reach it."""
        delay = 0.1
        while True:
            try:
                await self._fold_to_end()
                return
            except Unknown as error:
                _log.warning(
                    "log unreachable",
                    context=self.partition.context.name,
                    partition=self.partition.number,
                    error=str(error),
                )
                await asyncio.sleep(delay * (0.5 + random()))
                delay = min(delay * 2, 5.0)

    async def _fold_to_end(self) -> None:
        partition = self.partition
        end = (await self._log.ends([partition.number]))[partition.number]
        check_end(partition.context.events_topic, partition.number, end, partition.next_offset)
        if end - partition.next_offset <= FAR:
            async for records in self._log.read(partition.number, partition.next_offset, end):
                partition.fold(records)
        else:
            with nothing_collected():
                async for records in self._log.read(partition.number, partition.next_offset, end):
                    partition.take(records)
        self._opened(partition.opened())
