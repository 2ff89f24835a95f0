"""Snapshots of a partition's folded state: never the truth, only a start nearer to the log's end than offset 0.

A snapshot is a file of frames. Each frame holds what changed since the one before, as of one offset; a frame torn by a crash
is left out. A file of other code, of another topic or of another count of partitions is ignored and begun anew. What a
frame says of a key stays frozen until a command or an event of that key comes, so a million aggregates load at once.

Only one process writes a file, the one that holds its lock: another that owns the partition too, or believes so, reads it
and writes nothing.

Frames are pickled: the directory is as trusted as the code, and readable by its user only.
"""

import asyncio
import fcntl
import marshal
import os
import pickle
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import structlog

from infra.context import Context
from infra.partition import Captured, Partition

_log = structlog.get_logger()

ROOT = Path(__file__).parent.parent
MAGIC = b"weft snapshot 1\n"
FRAME = struct.Struct(">QI")  # length, CRC-32
RUNTIME_CODE = ("partition", "parking", "snapshots", "record", "inbox", "context")
SPARE_BYTES = 64 << 20  # a file is written anew when more than half of it, and this much, is out of date


@dataclass(frozen=True)
class Frame:
    """What changed up to `next_offset`. `blobs` are frozen aggregates by key, `open_` the keys whose states want something."""

    next_offset: int
    cursor: int
    timestamp: int
    voids: int
    queues: dict[bytes, tuple[bytes, ...]]
    open_: list[bytes]
    blobs: dict[bytes, bytes]


def freeze(captured: Captured) -> Frame:
    """A frame of what was captured; needs nothing of the partition any more, so that a thread may do it."""
    blobs = {key: pickle.dumps(content, 5) for key, content in captured.content.items()}
    open_ = [key for key, (_, _, intents) in captured.content.items() if intents]
    return Frame(
        captured.next_offset, captured.cursor, captured.timestamp, captured.voids, captured.queues, open_, blobs
    )


@cache
def fingerprint(context: Context) -> bytes:
    """Of the code a state depends on: the context's own, the messages, the runtime, the interpreter."""
    files = [ROOT / "infra" / f"{name}.py" for name in RUNTIME_CODE]
    files += [f for part in ("commands", "schemas", f"streams/{context.name}") for f in (ROOT / part).rglob("*.py")]
    digest = sha256(sys.version.encode())
    for file in sorted(files):
        digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest().encode()


class Snapshot:
    """The snapshot file of one partition of one topic."""

    def __init__(self, directory: Path, context: Context, number: int, partitions: int, topic_id: str) -> None:
        self._file = directory / f"{number}.snapshot"
        self._head = MAGIC + b"%s %s %d %d\n" % (fingerprint(context), topic_id.encode(), partitions, number)
        self._written = 0
        self._lock: BinaryIO | None = None

    def open(self) -> None:
        """Become the one who writes this file, if nobody is."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.fdopen(os.open(self._file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        except OSError:
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
        else:
            self._lock = lock

    def close(self) -> None:
        """Let others write it."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def is_ours(self) -> bool:
        return self._lock is not None

    @property
    def is_long(self) -> bool:
        """Whether it may be worth writing anew."""
        return self._written >= SPARE_BYTES

    def load(self, partition: Partition) -> bool:
        """Put the partition where the last whole frame was; False if there is none that fits."""
        whole = merged(self._frames())
        if whole is None:
            return False
        partition.resume(
            whole.next_offset, whole.cursor, whole.timestamp, whole.voids, whole.queues, whole.blobs, whole.open_
        )
        return True

    def _frames(self) -> Iterator[Frame]:
        """Every whole frame, oldest first; what is behind them is cut off."""
        try:
            file = self._file.open("r+b" if self.is_ours else "rb")
        except OSError:
            return
        with file:
            if file.read(len(self._head)) != self._head:
                return
            self._written = len(self._head)
            while (payload := _read_frame(file)) is not None:
                self._written = file.tell()
                yield Frame(*marshal.loads(payload))  # noqa: S302 (our own file, see above)
            if self.is_ours:
                file.truncate(self._written)

    def append(self, frame: Frame) -> None:
        """Write a frame behind the others; the file is begun anew when it does not fit or is mostly out of date."""
        fresh = not self._written
        with os.fdopen(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            if fresh:
                file.truncate(0)
                file.write(self._head)
            file.seek(0, os.SEEK_END)
            file.write(_framed(frame))
            self._written = file.tell()

    def compact(self, cold_bytes: int) -> None:
        """Write the file anew with one frame, if more than half of it is out of date."""
        if self._written < 2 * cold_bytes + SPARE_BYTES:
            return
        whole = merged(self._frames())
        assert whole is not None
        scratch = self._file.with_suffix(".new")
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(self._head + _framed(whole))
            self._written = file.tell()
        os.replace(scratch, self._file)


def merged(frames: Iterator[Frame]) -> Frame | None:
    """One frame that says what all of these say, one after the other; None if there are none."""
    last: Frame | None = None
    blobs: dict[bytes, bytes] = {}
    open_: set[bytes] = set()
    for frame in frames:
        blobs |= frame.blobs
        open_ = (open_ - frame.blobs.keys()) | set(frame.open_)
        last = frame
    return replace(last, open_=list(open_), blobs=blobs) if last else None


def _framed(frame: Frame) -> bytes:
    payload = marshal.dumps(tuple(vars(frame).values()))
    return FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _read_frame(file: BinaryIO) -> bytes | None:
    header = file.read(FRAME.size)
    if len(header) < FRAME.size:
        return None
    length, check = FRAME.unpack(header)
    payload = file.read(length)
    return payload if len(payload) == length and zlib.crc32(payload) == check else None


async def save(partition: Partition, snapshot: Snapshot) -> int:
    """Write what changed since the last frame, if the file is ours; returns how many aggregates that were."""
    if not snapshot.is_ours or partition.unread:
        return 0
    captured = partition.capture()
    if not captured.content:
        return 0
    frame = await asyncio.to_thread(freeze, captured)
    try:
        await asyncio.to_thread(snapshot.append, frame)
    except OSError as error:  # a snapshot that cannot be written costs time at the next start, and nothing else
        _log.warning(
            "snapshot not written", context=partition.context.name, partition=partition.number, error=str(error)
        )
        partition.mark(captured)
        return 0
    partition.cool(frame.blobs)
    if snapshot.is_long:
        await asyncio.to_thread(snapshot.compact, sum(map(len, list(partition.cold.values()))))
    return len(frame.blobs)
