"""Where a process puts what it has no room for while it folds a log: a RocksDB of its own, gone when it is done.

Nothing in it is to be kept, so it has no write-ahead log. Its directory is locked as long as its process lives: whoever begins
next removes what one that was killed has left.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import TypeVar

from infra.errors import Unusable
from infra.rocks import Memory, Rocks

LEAST_BYTES = 4 << 20  # with less it would do little but write and merge

T = TypeVar("T")


class Spill:
    """Keys and values. Takes about `memory` bytes of memory for itself. Unusable if the disk does not take or give them."""

    def __init__(self, directory: Path, memory: int) -> None:
        try:
            self._path, self._lock = _claimed(directory)
        except OSError as error:
            raise Unusable(f"what has no room in memory cannot be kept in {directory}: {error}") from error
        size = max(memory, LEAST_BYTES)
        try:
            self._rocks = self._sound(lambda: Rocks(self._path, Memory(size, size // 4)))
        except BaseException:
            self._remove()
            raise

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._sound(lambda: self._rocks.get(keys))

    def write(self, batch: Mapping[bytes, bytes | None]) -> None:
        """Set these; None is deleted."""
        self._sound(lambda: self._rocks.write(batch))

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All there is, in the order of the keys."""
        try:
            yield from self._rocks.items()
        except Exception as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Be gone, with all that is in it."""
        with contextlib.suppress(Exception):
            self._rocks.close()
        self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
        os.close(self._lock)

    def _sound(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except Exception as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> Unusable:
        return Unusable(f"what has no room in memory cannot be kept in {self._path}: {error}")


def sweep(directory: Path) -> None:
    """Remove what processes have left that were killed."""
    if not directory.is_dir():
        return
    for path in directory.iterdir():
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _claimed(directory: Path) -> tuple[Path, int]:
    """An empty directory in this one, and its lock."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        path = Path(mkdtemp(dir=directory))
        try:
            lock = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue  # somebody swept before it was locked
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists():
                return path, lock
        except BlockingIOError:
            pass
        os.close(lock)
