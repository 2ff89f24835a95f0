"""RocksDB without a write-ahead log: who keeps something in it can make it anew.

Keys and values are bytes. Whatever goes wrong is raised as rocksdict raises it, or as an OSError; what that means is for the
caller to say.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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

BLOOM_BITS = 10  # a key: one lookup in a hundred of what is not there reads the disk
OPEN_FILES = 40

Batch = dict[bytes, bytes | None]  # None is deleted


class Memory:
    """Bytes for what was read and what is to be written, which stores may share; `a_store`: of it, what one may gather."""

    def __init__(self, size: int, a_store: int | None = None) -> None:
        self.cache = Cache(size)
        self.buffers = WriteBufferManager.new_write_buffer_manager_with_cache(size // 2, False, self.cache)
        self.a_store = a_store


class Rocks:
    """An open RocksDB; an empty one if there is none."""

    def __init__(self, path: Path, memory: Memory) -> None:
        self._db: Any = Rdict(str(path), _options(memory))
        self._how = WriteOptions()
        self._how.disable_wal = True  # type: ignore[method-assign, assignment]

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        values: list[bytes | None] = self._db.get(list(keys))
        return values

    def scan(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """What lies between, `start` included, in order."""
        rows: list[tuple[bytes, bytes]] = []
        for key, value in self.items(start):
            if key >= end or len(rows) == limit:
                break
            rows.append((key, value))
        return rows

    def items(self, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """All there is from `start` on, in the order of the keys, as it was when that was asked."""
        rest = self._db.iter()
        rest.seek(start)
        while rest.valid():
            yield rest.key(), rest.value()
            rest.next()
        rest.status()  # raises if it ended because what comes next cannot be read

    def write(self, batch: Mapping[bytes, bytes | None]) -> None:
        """Set these, all or none of them."""
        made = WriteBatch(raw_mode=True)
        for key, value in batch.items():
            if value is None:
                made.delete(key)
            else:
                made[key] = value
        self._db.write(made, self._how)

    def flush(self) -> None:
        """Have what was written outlast a crash."""
        self._db.flush()

    def close(self) -> None:
        self._db.close()


def _options(memory: Memory) -> Options:
    blocks = BlockBasedOptions()
    blocks.set_block_cache(memory.cache)
    blocks.set_bloom_filter(BLOOM_BITS, False)
    blocks.set_cache_index_and_filter_blocks(True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(blocks)
    options.set_write_buffer_manager(memory.buffers)
    if memory.a_store is not None:
        options.set_write_buffer_size(memory.a_store)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_max_open_files(OPEN_FILES)
    options.set_keep_log_file_num(2)
    return options
