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
import json
import marshal
import os
import pickle
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import structlog

from infra import messages, model, wire, write
from infra.model.context import Context
from infra.wire.avro import Codec
from infra.write.aggregates import Aggregates, Captured
from infra.write.parking import Queue

_log = structlog.get_logger()

MAGIC = b"weft snapshot 1\n"
FRAME = struct.Struct(">QI")  # length, CRC-32
RUNTIME_CODE = (messages, model, wire, write)  # packages; what hosts a context decides no state
SPARE_BYTES = 64 << 20  # a file is written anew when more than half of it, and this much, is out of date


@dataclass(frozen=True)
class Frame:
    """What changed up to `next_offset`. `blobs` are frozen aggregates by key, `open_` the keys whose states want something."""

    next_offset: int
    inbound: list[tuple[Any, ...]]
    marks: dict[bytes, tuple[int, int]]
    timestamp: int
    voids: int
    queues: dict[bytes, Queue]
    open_: list[bytes]
    blobs: dict[bytes, bytes]


def freeze(captured: Captured) -> Frame:
    """A frame of what was captured; needs nothing of the partition any more, so that a thread may do it."""
    blobs = {key: pickle.dumps(content, 5) for key, content in captured.content.items()}
    open_ = [key for key, (_, _, intents) in captured.content.items() if intents]
    return Frame(
        captured.next_offset,
        captured.inbound,
        captured.marks,
        captured.timestamp,
        captured.voids,
        captured.queues,
        open_,
        blobs,
    )


def fingerprint(context: Context, codec: Codec) -> bytes:
    """Of what a state depends on: the code of deciders and messages, wherever it lies, schemas, the runtime, the interpreter."""
    types = (*context.commands, *context.events)
    modules = {sys.modules[a.decide.__module__] for a in context.aggregates} | {
        sys.modules[t.__module__] for t in types
    }
    files = {file for module in modules for file in _code_of(module, context.name)}
    files |= {file for t in types for file in _package_of(sys.modules[t.__module__])}
    files |= {file for package in RUNTIME_CODE for file in Path(str(package.__file__)).parent.glob("*.py")}
    digest = sha256(sys.version.encode())
    for content in sorted(file.read_bytes() for file in files):
        digest.update(content + b"\0")
    for name in sorted(codec.names[t] for t in types):
        digest.update(json.dumps(codec.schemas[name]).encode() + b"\0")
    return digest.hexdigest().encode()


def _code_of(module: ModuleType, context: str) -> list[Path]:
    """The code of the package a context has for itself, or of the module alone where it has none."""
    file = Path(str(module.__file__))
    own = next((folder for folder in file.parents if folder.name == context), None)
    return list(own.rglob("*.py")) if own else [file]


def _package_of(module: ModuleType) -> Iterator[Path]:
    """All code beside a message: helpers, and records in its fields."""
    top = sys.modules[module.__name__.partition(".")[0]]
    for folder in top.__path__:
        yield from Path(folder).rglob("*.py")


class Snapshot:
    """The snapshot file of one partition of one topic; `code` is the fingerprint of what made its states."""

    def __init__(
        self,
        directory: Path,
        code: bytes,
        number: int,
        partitions: int,
        topic_id: str,
        spare_bytes: int = SPARE_BYTES,
    ) -> None:
        self._spare = spare_bytes
        self._file = directory / f"{number}.snapshot"
        self._head = MAGIC + b"%s %s %d %d\n" % (code, topic_id.encode(), partitions, number)
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
        return self._written >= self._spare

    def load(self, partition: Aggregates) -> bool:
        """Put the partition where the last whole frame was; False if there is none that fits."""
        whole = merged(self._frames())
        if whole is None:
            return False
        partition.resume(
            whole.next_offset,
            whole.inbound,
            whole.marks,
            whole.timestamp,
            whole.voids,
            whole.queues,
            whole.blobs,
            whole.open_,
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
        if self._written < 2 * cold_bytes + self._spare:
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


async def save(partition: Aggregates, snapshot: Snapshot) -> int:
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
