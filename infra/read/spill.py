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
from typing import Any, TypeVar

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from infra.errors import Unusable

BLOOM_BITS = 10  # a key: most that are asked for are new, and not there
OPEN_FILES = 40
LEAST_BYTES = 4 << 20  # with less it would do little but write and merge

T = TypeVar("T")


class Spill:
    """Keys and values. Takes about `memory` bytes of memory for itself. Unusable if the disk does not take or give them."""

    def __init__(self, directory: Path, memory: int) -> None:
        try:
            self._path, self._lock = _claimed(directory)
        except OSError as error:
            raise Unusable(f"what has no room in memory cannot be kept in {directory}: {error}") from error
        self._how = WriteOptions()
        self._how.disable_wal = True  # type: ignore[method-assign, assignment]
        self._db: Any = None
        try:
            self._db = self._sound(lambda: Rdict(str(self._path), _options(max(memory, LEAST_BYTES))))
        except BaseException:
            self.close()
            raise

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._sound(lambda: self._db.get(list(keys)))

    def write(self, batch: Mapping[bytes, bytes | None]) -> None:
        """Set these; None is deleted."""
        made = WriteBatch(raw_mode=True)
        for key, value in batch.items():
            if value is None:
                made.delete(key)
            else:
                made[key] = value
        self._sound(lambda: self._db.write(made, self._how))

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All there is, in the order of the keys."""
        behind = b""
        for key, value in self._db.items():
            yield key, value
            behind = key + b"\0"
        self._sound(lambda: self._is_read(behind))

    def _is_read(self, behind: bytes) -> None:
        """What cannot be read ends an iteration as if there were no more."""
        rest = self._db.iter()
        rest.seek(behind)
        rest.status()
        if rest.valid():
            raise OSError("what was written cannot be read")

    def close(self) -> None:
        """Be gone, with all that is in it."""
        if self._db is not None:
            with contextlib.suppress(Exception):
                self._db.close()
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


def _options(memory: int) -> Options:
    cache = Cache(memory)
    blocks = BlockBasedOptions()
    blocks.set_block_cache(cache)
    blocks.set_bloom_filter(BLOOM_BITS, False)
    blocks.set_cache_index_and_filter_blocks(True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(blocks)
    options.set_write_buffer_manager(WriteBufferManager.new_write_buffer_manager_with_cache(memory // 2, False, cache))
    options.set_write_buffer_size(memory // 4)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_open_files(OPEN_FILES)
    options.set_keep_log_file_num(1)
    return options
