"""A part of the log into rows, by COPY: what one process does at a time. No index, no upsert, one transaction a part.

A part is made of partitions whose events may meet in a row. A projection of one topic is folded partition by partition, since
a row is made of the events of one key; one that reads several topics is folded in one piece. All processes together hold as many
rows in memory as WEFT_STATE_MB has room for; what is beyond that lies on disk until it is copied.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.sharedctypes import SynchronizedArray
from multiprocessing.synchronize import Event

from infra.errors import Stopped
from infra.kafka import reading
from infra.kafka.reading import Place
from infra.mesh import Mesh
from infra.model.projection import Projection
from infra.read import postgres, tables
from infra.read.fold import Batch, Fold
from infra.read.held import Room, room
from infra.read.rebuild import warm
from infra.read.rows import rows
from infra.settings import Settings, address

LOOK_EVERY_S = 0.2
FEW = 50_000  # records; fewer are read here
STOPPED = "stopped; the same command goes on where it was"


@dataclass(frozen=True)
class Part:
    """Read from the beginning up to `ends`, into the tables of `schema`; of what was recorded by `until_ms` only, if that is given."""

    projection: str
    schema: str
    ends: tuple[tuple[Place, int], ...]
    topic_ids: tuple[tuple[str, str], ...]
    until_ms: int | None = None

    @property
    def records(self) -> int:
        return sum(end for _, end in self.ends)


def parts(
    projection: Projection, schema: str, ends: dict[Place, int], topic_ids: dict[str, str], until_ms: int | None = None
) -> list[Part]:
    """The parts of a log that can be folded without each other."""
    groups: Sequence[tuple[tuple[Place, int], ...]]
    groups = [(end,) for end in ends.items()] if len({topic for topic, _ in ends}) == 1 else [tuple(ends.items())]
    return [Part(projection.name, schema, group, tuple(topic_ids.items()), until_ms) for group in groups]


Note = Callable[[int], None]  # hears how many records of a part were read; raises Stopped when it is time to


def load_all(
    settings: Settings,
    mesh: Mesh,
    wanted: Sequence[Part],
    processes: int,
    say: Callable[[int, int], None],
    stopping: Callable[[], bool],
) -> int:
    """Load every part, several at a time; returns how many rows there are. `say(done, total)` hears of records read.

    Stopped if `stopping` came true: parts that were finished stay.
    """
    if sum(part.records for part in wanted) <= FEW:
        return _load_here(settings, mesh, wanted, say, stopping)
    return _load_apart(settings, mesh, wanted, processes, say, stopping)


def _load_here(
    settings: Settings,
    mesh: Mesh,
    wanted: Sequence[Part],
    say: Callable[[int, int], None],
    stopping: Callable[[], bool],
) -> int:
    """In this process and in one piece: for a short log the others would hardly be there before it is done."""
    if not wanted:
        return 0
    whole = replace(wanted[0], ends=tuple(end for part in wanted for end in part.ends))

    def note(read: int) -> None:
        say(read, whole.records)
        if stopping():
            raise Stopped(STOPPED)

    return asyncio.run(_copy(settings, mesh, whole, room(settings, 1), note))


def _load_apart(
    settings: Settings,
    mesh: Mesh,
    wanted: Sequence[Part],
    processes: int,
    say: Callable[[int, int], None],
    stopping: Callable[[], bool],
) -> int:
    total = sum(part.records for part in wanted)
    done: SynchronizedArray[int] = warm.CONTEXT.Array("q", len(wanted))
    stop = warm.CONTEXT.Event()
    largest_first = sorted(range(len(wanted)), key=lambda i: -wanted[i].records)
    processes = min(processes, len(wanted))
    each = room(settings, processes)
    with warm.pool(mesh.source, processes, _begin, done, stop) as pool:
        futures: list[Future[int]] = [pool.submit(_load, settings, mesh, wanted[i], each, i) for i in largest_first]
        try:
            left = set(futures)
            while left:
                _, left = wait(left, LOOK_EVERY_S)
                say(sum(done[:]), total)
                if stopping():
                    raise Stopped(STOPPED)
                for future in futures:
                    if future.done():
                        future.result()
        finally:
            stop.set()
            for future in futures:
                future.cancel()
    return sum(future.result() for future in futures)


_done: "SynchronizedArray[int]"  # in a process of its own: records read, by part
_stop: Event


def _begin(done: "SynchronizedArray[int]", stop: Event) -> None:
    global _done, _stop
    _done, _stop = done, stop


def _load(settings: Settings, mesh: Mesh, part: Part, each: Room, number: int) -> int:
    def note(read: int) -> None:
        _done[number] = read
        if _stop.is_set():
            raise Stopped(STOPPED)

    return asyncio.run(_copy(settings, mesh, part, each, note))


async def _copy(settings: Settings, mesh: Mesh, part: Part, space: Room, note: Note) -> int:
    """Fold a part and write its rows, with the position behind them if they are to be kept up; returns how many rows."""
    projection = mesh.projection(part.projection)
    fold = Fold(projection, mesh.codec)
    recorded: dict[Place, datetime] = {}
    with rows(projection, space) as held:
        for batch in _batches(settings, fold, part, note):
            with held.having({row_id for row_id, _, _ in batch.facts}) as at_hand:
                fold.apply(at_hand, batch.facts)
            recorded |= batch.recorded
        async with postgres.connection(address(settings, "postgres")) as db, db.transaction():
            count = await tables.copy(db, projection, part.schema, (row for _, row in held.in_order()))
            if part.until_ms is None:
                await tables.move(db, part.schema, dict(part.ends), dict(part.topic_ids), dict(part.ends), recorded)
    return count


def _batches(settings: Settings, fold: Fold, part: Part, note: Note) -> Iterator[Batch]:
    reached: dict[Place, int] = {}
    with reading.opened(settings) as client:
        for records, positions in reading.read_to(client, {}, dict(part.ends), fold.unwanted):
            if part.until_ms is not None:
                records = [r for r in records if r.timestamp <= part.until_ms]
            yield fold.batch(records, positions)
            reached |= positions
            note(sum(reached.values()))
