"""A machine's disk in memory: stores that outlast their process, but for the newest of what it wrote. The twin of RocksDisk."""

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TypeVar

from infra.rocks import Batch
from infra.write.layout import HEAD
from infra.write.store import Store

T = TypeVar("T")


class Content:
    """What lies in one store: kept, and written since."""

    def __init__(self, head: bytes) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.written: list[Batch] = [{HEAD: head}]
        self.now: dict[bytes, bytes] = {HEAD: head}
        self.owner: object = None

    def write(self, batch: Batch) -> None:
        self.written.append(batch)
        _apply(self.now, batch)

    def flush(self) -> None:
        self.kept, self.written = dict(self.now), []

    def crash(self, survive: int) -> None:
        """Its process ended: so many of the newest writes were kept by chance, the oldest of them first."""
        for batch in self.written[:survive]:
            _apply(self.kept, batch)
        self.now, self.written, self.owner = dict(self.kept), [], None


def _apply(content: dict[bytes, bytes], batch: Batch) -> None:
    for key, value in batch.items():
        if value is None:
            content.pop(key, None)
        else:
            content[key] = value


class MemoryDisk:
    """What is on a machine, by partition: one store, and more if others were in use."""

    def __init__(self) -> None:
        self.contents: dict[tuple[str, int], list[Content]] = {}


async def at_once() -> None: ...


class MemoryStore:
    """`passes` is waited for before and after whatever is done aside."""

    def __init__(self, content: Content, passes: Callable[[], Awaitable[None]] = at_once) -> None:
        self.content = content
        self._passes = passes

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.content.now.get(key) for key in keys]

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        return sorted((key, value) for key, value in self.content.now.items() if start <= key < end)[:limit]

    def write(self, batch: Batch) -> None:
        self.content.write(batch)

    def flush(self) -> None:
        self.content.flush()

    def close(self) -> None:
        self.content.flush()
        self.content.owner = None

    async def aside(self, work: Callable[[], T]) -> T:
        await self._passes()
        done = work()
        await self._passes()
        return done


class ProcessDisk:
    """A machine's disk as one process has it, which may be killed with stores open."""

    def __init__(self, disk: MemoryDisk, passes: Callable[[], Awaitable[None]], dice: Random) -> None:
        self._disk = disk
        self._passes = passes
        self._dice = dice
        self._open: list[Content] = []

    async def open(self, context: str, number: int, head: bytes) -> Store:
        await self._passes()
        contents = self._disk.contents.setdefault((context, number), [])
        content = self._free(contents)
        if content is None or content.now.get(HEAD) != head:
            contents[:] = [c for c in contents if c is not content]
            content = Content(head)
            contents.append(content)
        content.owner = self
        self._open.append(content)
        return MemoryStore(content, self._passes)

    def _free(self, contents: list[Content]) -> Content | None:
        return next((content for content in contents if content.owner is None), None)

    def crash(self) -> None:
        for content in self._open:
            if content.owner is self:
                content.crash(self._dice.randint(0, len(content.written)))
