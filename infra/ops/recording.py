"""A log in a file: every record of every events topic, one JSON line each, gzipped; and whether today's code still folds it."""

import gzip
import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from infra.errors import Unusable
from infra.kafka import reading
from infra.mesh import Mesh
from infra.read.fold import Fold
from infra.settings import Settings
from infra.wire.record import Read
from infra.write.aggregates import Aggregates

FOR_EVER_MS = 10**15


@dataclass(frozen=True)
class Folded:
    """What a recorded log folds to, of one context or one projection."""

    name: str
    records: int
    made: int
    what: str

    def __str__(self) -> str:
        return f"{self.name}: {self.records} records fold to {self.made} {self.what}"


def record(settings: Settings, mesh: Mesh, file: Path) -> int:
    """Write the log, partition by partition; returns how many records it has."""
    with reading.opened(settings) as client:
        places = reading.partitions_of(client, [c.events_topic for c in mesh.contexts.values()])
        logs = (reading.read_all(client, {}, reading.ends(client, [place])) for place in places)
        return write(file, (r for log in logs for batch in log for r in batch))


def write(file: Path, records: Iterable[Read]) -> int:
    """Write these records; returns how many there are. Unusable if the file cannot be written."""
    count = 0
    try:
        with gzip.open(file, "wt", encoding="utf-8") as out:
            for r in records:
                headers = [(name, (value or b"").decode(errors="replace")) for name, value in r.headers]
                coded = [b64encode(part or b"").decode() for part in (r.key, r.value)]
                out.write(json.dumps([r.topic, r.partition, r.offset, r.timestamp, *coded, headers]) + "\n")
                count += 1
    except OSError as error:
        raise Unusable(f"cannot write {file}: {error.strerror}") from error
    return count


def read(file: Path) -> Iterator[Read]:
    """The records of a recorded log, in order within each partition; Unusable if it is none."""
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            yield from map(_record, lines)
    except (OSError, EOFError, zlib.error, ValueError, TypeError, AttributeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        raise Unusable(f"{file} is no recorded log: {why}; `weft schemas record` makes one") from error


def _record(line: str) -> Read:
    topic, partition, offset, timestamp, key, value, headers = json.loads(line)
    coded = tuple((name, text.encode()) for name, text in headers)
    return Read(str(topic), int(partition), int(offset), int(timestamp), b64decode(key), b64decode(value), coded)


def context_of(record: Read) -> str:
    """Whose event it is, whichever generation of topic it is in."""
    return record.topic.partition(".")[0]


def check(mesh: Mesh, file: Path) -> list[Folded]:
    """Decode and fold a recorded log with today's code, aggregates and projections; raises LogDamaged if it cannot.

    Returns what was folded of each context and each projection: those of a later time find nothing.
    """
    codec, records = mesh.codec, list(read(file))
    folded = []
    for context in mesh.contexts.values():
        mine = [r for r in records if context_of(r) == context.name]
        count = 0
        for number, log in groupby(mine, lambda r: r.partition):
            aggregates = Aggregates(context, codec, number, 1, FOR_EVER_MS)
            aggregates.fold(log)
            count += len(aggregates.states)
        folded.append(Folded(context.name, len(mine), count, "aggregates"))
    for projection in mesh.projections.values():
        heard = {c.name for c in mesh.speakers(projection)}
        fold = Fold(projection, codec)
        rows: dict[str, Any] = {}
        facts = fold.facts([r for r in records if context_of(r) in heard])
        fold.apply(rows, facts)
        folded.append(Folded(projection.name, len(facts), sum(row is not None for row in rows.values()), "rows"))
    return folded
