"""Where what a partition has folded lies on disk: one RocksDB a partition, never shared by two.

It has no write-ahead log: Kafka is one. A crash takes back the newest writes, each as a whole, the newest first, and what
that takes back is folded again. So a store is a fold of the log up to its position, whatever ends the process, and losing
it costs time only: one that is of something else, or broken, is set aside.
https://github.com/facebook/rocksdb/wiki/Write-Ahead-Log-(WAL) says what is kept without one: a prefix of what was written.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import structlog

from infra.errors import Unusable
from infra.rocks import Batch, Memory, Rocks
from infra.write.layout import HEAD

_log = structlog.get_logger()

LOCK_SECONDS = 1.5  # another process may be about to let go; one that stands still keeps nobody waiting longer
MB = 1 << 20
BROKEN = "broken"  # a file beside the store's own, so that the next start sets it aside

T = TypeVar("T")


class Store(Protocol):
    """Keys and values. A write is all there or not at all, and never without the one before it."""

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]: ...

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """What lies between, `start` included, in order."""
        ...

    def write(self, batch: Batch) -> None: ...

    def flush(self) -> None:
        """Keep what was written, whatever comes."""
        ...

    def close(self) -> None:
        """Flush, and let others open it."""
        ...

    async def aside(self, work: Callable[[], T]) -> T:
        """Do what reads or writes the store while others go on."""
        ...


class Disk(Protocol):
    """Where the stores of a process are."""

    async def open(self, context: str, number: int, head: bytes) -> Store:
        """The store of a partition that `head` describes; an empty one if there is none."""
        ...


class RocksDisk:
    """Stores in a directory; all of them together take `cache_mb` of memory."""

    def __init__(self, directory: Path, cache_mb: int) -> None:
        self._directory = directory
        self._memory = Memory(cache_mb * MB)

    async def open(self, context: str, number: int, head: bytes) -> Store:
        home = self._directory / context
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            path, lock = await _claimed(home, str(number))
            return await asyncio.to_thread(self._open, path, lock, head)
        except OSError as error:
            raise Unusable(f"the state of {context}/{number} cannot be kept in {home}: {error}") from error

    def _open(self, path: Path, lock: BinaryIO, head: bytes) -> Store:
        if path.exists():
            store, reason = self._resumed(path, lock, head)
            if store:
                return store
            _log.warning("state set aside", directory=str(path), reason=reason)
            shutil.rmtree(path)
        store = RocksStore(path, lock, self._memory)
        store.write({HEAD: head})
        return store

    def _resumed(self, path: Path, lock: BinaryIO, head: bytes) -> tuple[Store | None, str]:
        """What can be gone on with; or why it cannot."""
        if (path / BROKEN).exists():
            return None, "it is broken"
        try:
            store = RocksStore(path, lock, self._memory)
        except Exception as error:
            return None, f"it cannot be opened: {error}"
        try:
            if store.get([HEAD]) == [head]:
                return store, ""
        except Unusable as error:
            reason = str(error)
        else:
            reason = "it is of other code, or of another topic"
        store.discard()
        return None, reason


class RocksStore:
    """An open RocksDB. An error in it ends the process, and the next one begins anew."""

    def __init__(self, path: Path, lock: BinaryIO, memory: Memory) -> None:
        self._path = path
        self._lock = lock
        self._rocks = Rocks(path, memory)

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._sound(lambda: self._rocks.get(keys))

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        return self._sound(lambda: self._rocks.scan(start, end, limit))

    def write(self, batch: Batch) -> None:
        self._sound(lambda: self._rocks.write(batch))

    def flush(self) -> None:
        self._sound(self._rocks.flush)

    def close(self) -> None:
        with contextlib.suppress(Exception):  # what is lost is folded again
            self._rocks.flush()
        self.discard()
        self._lock.close()

    def discard(self) -> None:
        self._rocks.close()

    async def aside(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)

    def _sound(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except Exception as error:
            if "Corruption" in str(error):
                (self._path / BROKEN).touch()
                raise Unusable(f"the state in {self._path} is broken: {error}; the next start folds it anew") from error
            raise Unusable(f"the state in {self._path} cannot be used: {error}") from error


async def _claimed(home: Path, name: str) -> tuple[Path, BinaryIO]:
    """A directory that nobody else writes, and its lock. Who has the first one has no use for others that are free."""
    until = asyncio.get_running_loop().time() + LOCK_SECONDS
    first = home / name
    while (lock := _locked(first)) is None and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.2)
    for other in (home / f"{name}.{n}" for n in count(2)):
        if lock is not None and not other.exists():
            return first, lock
        spare = _locked(other)
        if lock is None and spare is not None:
            _log.warning("state in use", directory=str(first), instead=str(other))
            return other, spare
        if spare is not None:
            shutil.rmtree(other, ignore_errors=True)
            spare.close()
    raise AssertionError("there are as many numbers as it takes")


def _locked(path: Path) -> BinaryIO | None:
    lock = os.fdopen(os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    except OSError:
        lock.close()
        raise
    return lock
