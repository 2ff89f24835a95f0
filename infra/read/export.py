"""Events as Parquet, for notebooks: every run adds what came since the last one, and never writes a file again.

DIRECTORY/<context>/<partition>-<first offset>-<last offset>.parquet; what is not there yet is what the names do not cover.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from confluent_kafka import Consumer
from pyarrow import parquet as pq

from infra.errors import Unusable
from infra.kafka import reading
from infra.kafka.reading import Place
from infra.mesh import Mesh
from infra.model.context import Context
from infra.read.fold import LOG_KEEPING_NAMES
from infra.settings import Settings, address
from infra.wire.avro import Codec
from infra.wire.content import content
from infra.wire.envelope import TYPE, accepted, meta
from infra.wire.record import Read

ROWS, BYTES = 100_000, 64 << 20  # records a file at most, and after so many bytes of events none is added
NAME = re.compile(r"(\d+)-(\d+)-(\d+)\.parquet")
TOPIC_ID = b"weft.topic_id"
LOG_KEEPING_TYPES = {name.encode() for name in LOG_KEEPING_NAMES}
SCHEMA = pa.schema(
    [
        ("offset", pa.int64()),
        ("event_id", pa.string()),
        ("type", pa.string()),
        ("subject", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
        ("command_id", pa.string()),
        ("command_type", pa.string()),
        ("correlation_id", pa.string()),
        ("content", pa.string()),
    ]
)


def export(
    settings: Settings, mesh: Mesh, directory: Path, contexts: Sequence[Context], stopping: Callable[[], bool]
) -> Iterator[tuple[Path, int]]:
    """Write what is not there yet; yields each file with its events. Unusable if what is there is of another log."""
    with reading.opened(settings) as client:
        for c in contexts:
            (topic_id,) = reading.topic_ids(address(settings, "kafka"), [c.events_topic]).values()
            target = directory / c.name
            try:
                target.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise Unusable(f"cannot write to {target}: {error.strerror}") from error
            done = covered(target, topic_id)
            for place, end in reading.ends(client, reading.partitions_of(client, [c.events_topic])).items():
                for records in _chunks(client, place, done.get(place[1], 0), end):
                    if stopping():
                        return
                    yield _write(mesh.codec, target, topic_id, records)


def covered(directory: Path, topic_id: str) -> dict[int, int]:
    """The next offset to export of each partition."""
    ends: dict[int, int] = {}
    for file in directory.glob("*.parquet"):
        if match := NAME.fullmatch(file.name):
            partition, _, last = map(int, match.groups())
            if (pq.read_schema(file).metadata or {}).get(TOPIC_ID) != topic_id.encode():
                raise Unusable(f"{file} is of another log: export to another directory, or remove that one")
            ends[partition] = max(ends.get(partition, 0), last + 1)
    return ends


def _chunks(client: Consumer, place: Place, start: int, end: int) -> Iterator[list[Read]]:
    waiting: list[Read] = []
    size = 0
    for records in reading.read_all(client, {place: start}, {place: end}):
        for record in records:
            waiting.append(record)
            size += len(record.value or b"")
            if len(waiting) == ROWS or size >= BYTES:
                yield waiting
                waiting, size = [], 0
    if waiting:
        yield waiting


def _write(codec: Codec, directory: Path, topic_id: str, records: list[Read]) -> tuple[Path, int]:
    """One file of what counts among these records; it is there as a whole, or not at all."""
    rows = [
        _row(codec, r, h)
        for r in records
        if accepted(h := dict(r.headers), r.offset) and h.get(TYPE) not in LOG_KEEPING_TYPES
    ]
    table = pa.Table.from_pylist(rows, SCHEMA.with_metadata({TOPIC_ID: topic_id.encode()}))
    first, last = records[0], records[-1]
    file = directory / f"{first.partition:04}-{first.offset:012}-{last.offset:012}.parquet"
    partial = file.with_suffix(".partial")
    try:
        pq.write_table(table, partial, compression="zstd")
        os.replace(partial, file)
    except OSError as error:
        raise Unusable(f"cannot write {file}: {error}") from error
    return file, len(rows)


def _row(codec: Codec, record: Read, headers: dict[str, bytes | None]) -> dict[str, object]:
    m = meta(record, headers)
    event = codec.decode(record.value or b"")
    columns = {
        name: getattr(m, name)
        for name in ("offset", "type", "subject", "at", "command_id", "command_type", "correlation_id")
    }
    return {
        **columns,
        "event_id": m.id,
        "content": json.dumps(content(event, codec.schemas[codec.names[type(event)]]), ensure_ascii=False),
    }
