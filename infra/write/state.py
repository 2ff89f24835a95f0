"""A partition's aggregates: those that are hot in memory, all of them in its store, which follows a little behind.

What changes is written with the position it leads to, in one write, so that state and position never disagree. What is
written may be let go of, and is read again when a command or an event needs it. Until anything was let go of, or taken over
from a store, all there is is in memory, and nobody looks for it on the disk.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import inf
from typing import Any, NamedTuple, Self, TypeVar

from infra.errors import Unusable
from infra.write.aggregates import Aggregates, KnownCommand, Position, Seen, Unwritten
from infra.write.intents import Intent, slot_of
from infra.write.layout import (
    AGENDA,
    DECIDED,
    POSITION,
    QUEUE,
    agenda_key,
    batch_of,
    behind,
    decided_key,
    line_in,
    line_prefix,
    place_in,
    seen_in,
    state_key,
)
from infra.write.parking import Queue
from infra.write.plain import both_in, thing_of
from infra.write.store import Disk, Store

MANY = 5_000  # changes, which are written before their turn comes
TIMES = 10  # bytes in memory, of one on disk
SLOT_BYTES, INTENT_BYTES, DECIDED_BYTES = 500, 1000, 400  # in memory, at least
EVENT_BYTES = 8000  # of one that is taken in, until what it changes is written
SCANNED = 5_000  # keys read at once
AT_ONCE = 500  # counted, or let go of, before others have their turn

T = TypeVar("T")


@dataclass
class Budget:
    """Bytes that all partitions of a process may keep in memory without need, and how many these are."""

    bytes: float = inf
    partitions: int = 0

    def share(self) -> float:
        return self.bytes / max(1, self.partitions)


class Found(NamedTuple):
    """What was read of the disk: states by slot, and how much memory they take."""

    states: dict[bytes, Any]
    sizes: dict[bytes, int]
    intents: list[Intent]
    decided: dict[KnownCommand, Seen]


class State:
    """`budget` says how many bytes this partition may keep in memory without need; it changes as partitions come and go.

    Once it is closed nothing is written, nothing is found, and whoever asks is told so by what is empty.
    """

    def __init__(self, aggregates: Aggregates, store: Store, budget: Callable[[], float]) -> None:
        self.aggregates = aggregates
        self._store = store
        self._budget = budget
        self._is_all_here = True
        self._hot: OrderedDict[bytes, int] = (
            OrderedDict()
        )  # slots whose states are as they are written, and their bytes; coldest first
        self._bytes = 0
        self._writing = asyncio.Lock()
        self._written: Position | None = None
        self._is_torn = False
        self._is_closed = False
        self._asides: set[asyncio.Future[Any]] = set()

    @classmethod
    async def opened(
        cls,
        aggregates: Aggregates,
        disk: Disk,
        topic_id: str,
        code: bytes,
        budget: Callable[[], float],
    ) -> Self:
        """Where the partition's store on this disk is; from nothing if there is none of this code and events topic."""
        name, partitions, number = aggregates.context.name, aggregates.partitions, aggregates.number
        kept_for = aggregates.dedupe_ms  # a store has forgotten which commands were decided before that
        head = b"%s %s %d %d %d" % (code, topic_id.encode(), partitions, number, kept_for)
        store = await disk.open(name, number, head)
        state = cls(aggregates, store, budget)
        if (found := await state._aside(state._begin)) is not None:
            state._written, queues = found
            aggregates.resume(state._written, queues)
            state._is_all_here = False
        return state

    def _begin(self) -> tuple[Position, dict[bytes, Queue]] | None:
        (position,) = self._store.get([POSITION])
        if position is None:
            return None
        queues: dict[bytes, Queue] = {}
        start = QUEUE
        while rows := self._store.scan(start, behind(QUEUE), SCANNED):
            queues.update((key[1:], thing_of(value)) for key, value in rows)
            start = rows[-1][0] + b"\0"
        return thing_of(position), queues

    async def _aside(self, work: Callable[[], T]) -> T:
        """What uses the store is waited for when that is closed, also if whoever asked for it is gone."""
        task = asyncio.ensure_future(self._store.aside(work))
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)
        return await asyncio.shield(task)

    # -- what is needed

    async def fetch(self, slots: Iterable[bytes], decided: Iterable[KnownCommand] = ()) -> None:
        """Have these aggregates, and what is known of these commands, in memory."""
        if self._is_all_here:
            return
        states, known = self.aggregates.states, self.aggregates.decided
        cold = [slot for slot in slots if slot not in states and slot not in self._hot]
        unknown = [name for name in decided if name not in known]
        if cold or unknown:
            found = await self._aside(partial(self._read, cold, unknown))
            self.aggregates.put_back(found.states, found.intents, found.decided)
            self._warm((slot, found.sizes.get(slot, SLOT_BYTES)) for slot in cold)

    def _read(self, slots: Sequence[bytes], decided: Sequence[KnownCommand]) -> Found:
        values = self._store.get([*map(state_key, slots), *map(decided_key, decided)])
        states, seen = values[: len(slots)], values[len(slots) :]
        found = Found({}, {}, [], {})
        for slot, value in zip(slots, states, strict=True):
            if value is not None:
                state, said = both_in(value)
                found.states[slot], found.sizes[slot] = state, _size_of(value, said)
                found.intents.extend(self.aggregates.intents_of(slot, state, said))
        found.decided.update(
            (name, seen_in(value)) for name, value in zip(decided, seen, strict=True) if value is not None
        )
        return found

    # -- what is written

    @property
    def is_much(self) -> bool:
        """Whether so much has changed that it is not put off any longer."""
        return len(self.aggregates.unwritten.states) + len(self.aggregates.unwritten.decided) >= MANY

    @property
    def room_for_events(self) -> int:
        """How many may be taken in before they are folded."""
        return int(min(self._budget(), 1e15)) // 2 // EVENT_BYTES

    async def write(self) -> bool:
        """Write what changed, unless something is only taken in; whether all is written that had changed.

        Whoever no longer waits for that does not keep it from being written.
        """
        return await asyncio.shield(asyncio.ensure_future(self._write()))

    async def _write(self) -> bool:
        async with self._writing:
            aggregates = self.aggregates
            if self._is_closed or aggregates.is_torn:
                return False
            if self._is_torn:
                raise Unusable(f"{aggregates.context.name}/{aggregates.number}: what changed could not be written")
            if aggregates.unread or aggregates.position() == self._written:
                return not aggregates.unread
            position, unwritten = aggregates.capture()
            self._is_torn = True  # nothing may be written behind what is not known to be there
            sizes = await self._aside(partial(self._put, position, unwritten))
            self._is_torn, self._written = False, position
            for start in range(0, len(sizes), AT_ONCE):
                self._warm(sizes[start : start + AT_ONCE])
                await asyncio.sleep(0)
            return True

    def _put(self, position: Position, unwritten: Unwritten) -> list[tuple[bytes, int]]:
        """Write; of each state how much memory it takes."""
        batch = batch_of(position, unwritten)
        self._store.write(batch)
        return [(slot, _size_of(batch[state_key(slot)] or b"", unwritten.wanted[slot])) for slot in unwritten.states]

    async def keep(self) -> None:
        """Have what was written outlast a crash."""
        if not self._is_closed:
            await self._aside(self._store.flush)

    async def close(self) -> None:
        """Write what changed, and let others have the store; nothing is done with it any more."""
        async with self._writing:
            is_torn = self._is_torn
        if not is_torn:
            await self.write()
        async with self._writing:
            self._is_closed = True
        while self._asides:
            await asyncio.wait(self._asides)
        await self._store.aside(self._store.close)

    async def forget(self) -> None:
        """Delete the names of commands that are too old to be told from new ones."""
        start, end = DECIDED, behind(DECIDED)
        while start < end:
            async with self._writing:
                if self._is_closed:
                    return
                start = await self._aside(partial(self._forget, start, end, self.aggregates.horizon))

    def _forget(self, start: bytes, end: bytes, horizon: int) -> bytes:
        rows = self._store.scan(start, end, SCANNED)
        self._store.write({key: None for key, value in rows if seen_in(value).at < horizon})
        return rows[-1][0] + b"\0" if rows else end

    # -- what stays in memory

    def _warm(self, sizes: Iterable[tuple[bytes, int]]) -> None:
        hot, added = self._hot, 0
        for slot, size in sizes:
            added += size - hot.pop(slot, 0)
            hot[slot] = size
        self._bytes += added

    async def trim(self) -> None:
        """Let go of what is coldest, if there is more than may be; while nothing is decided."""
        while not self._writing.locked() and self._trim_some():
            await asyncio.sleep(0)

    def _trim_some(self) -> bool:
        """Whether there is still more than may be."""
        aggregates, budget = self.aggregates, self._budget()
        decided, unwritten = aggregates.decided, aggregates.unwritten
        spare = len(decided) - int(min(budget, 1e15) / 2 / DECIDED_BYTES)
        written = [n for n in islice(decided, min(max(0, spare), AT_ONCE)) if n not in unwritten.decided]
        for name in written:
            del decided[name]
            self._is_all_here = False
        for _ in range(AT_ONCE):
            if not self._hot or self._bytes + len(decided) * DECIDED_BYTES <= budget:
                return len(written) == AT_ONCE
            slot, size = self._hot.popitem(last=False)
            self._bytes -= size
            if slot not in unwritten.states:
                aggregates.let_go(slot)
                self._is_all_here = False
        return True

    # -- what is open

    async def open_in(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, Intent]]:
        """Intents as they are written, by their keys in the agenda, from `start` up to `end`."""
        return [] if self._is_closed else await self._aside(partial(self._open_in, start, end, limit))

    def _open_in(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, Intent]]:
        keys = [key for key, _ in self._store.scan(start, end, limit)]
        intents = self._intents_at([place_in(key) for key in keys])
        return [(key, intent) for key, intent in zip(keys, intents, strict=True) if intent is not None]

    async def open_at(self, keys: Sequence[bytes]) -> list[Intent]:
        """Of these keys in the agenda, the intents that are open as they are written."""
        if self._is_closed:
            return []
        intents = await self._aside(partial(self._intents_at, [place_in(key) for key in keys]))
        return [i for i, key in zip(intents, keys, strict=True) if i is not None and agenda_key(i) == key]

    async def is_open(self, intent: Intent) -> bool:
        """Whether an intent is still open, as far as is folded."""
        if slot_of(intent.place) in self.aggregates.states:
            found = self.aggregates.intents.get(intent.place)
            return found is not None and found.key == intent.key
        return any(found.key == intent.key for found in await self.open_at([agenda_key(intent)]))

    def _intents_at(self, places: Sequence[bytes]) -> list[Intent | None]:
        """What is open there, as it is written."""
        slots = [slot_of(place) for place in places]
        rows = dict(zip(slots, self._store.get(list(map(state_key, slots))), strict=True))
        intents = {i.place: i for slot, row in rows.items() if row for i in self._intents_in(slot, row)}
        return [intents.get(place) for place in places]

    def _intents_in(self, slot: bytes, row: bytes) -> Iterator[Intent]:
        state, said = both_in(row)
        return self.aggregates.intents_of(slot, state, said)

    async def lines(self) -> list[bytes]:
        """Whose lines somebody stands in."""
        return await self._aside(self._lines)

    def _lines(self) -> list[bytes]:
        lines, start = [], AGENDA
        while rows := self._store.scan(start, behind(AGENDA), 1):
            lines.append(line_in(rows[0][0]))
            start = behind(line_prefix(lines[-1]))
        return lines


def _size_of(value: bytes, intents: Sequence[object]) -> int:
    """How much memory a state takes that is written so, with those of its intents that are open."""
    return SLOT_BYTES + TIMES * len(value) + INTENT_BYTES * (len(intents) - intents.count(None))
