"""The log of a shop as it was once recorded, with the codec of today, and the read models that hear something of it."""

import random
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from infra.model.projection import Projection
from infra.ops import recording
from infra.read.fold import values
from infra.shop.mesh import mesh
from infra.wire.record import Read

CODEC = mesh.codec
LOG = [r for file in sorted(Path("tests/recorded").glob("*.gz")) for r in recording.read(file)]
SAID = {CODEC.name_of(r.value or b"") for r in LOG}
# what hears nothing that was said when the log was recorded came later
PROJECTIONS = {n: p for n, p in mesh.projections.items() if not p.events or SAID & set(map(mesh.type_name, p.events))}


def log_of(projection: Projection) -> list[Read]:
    topics = set(mesh.topics_of(projection))
    return [r for r in LOG if r.topic in topics]


def hashed(projection: Projection, rows: dict[str, Any]) -> str:
    """Of the table these rows make."""
    final_rows = [row for row in rows.values() if row is not None]
    return sha256(repr(sorted(values(projection, final_rows))).encode()).hexdigest()


def shuffled(records: Sequence[Read], dice: random.Random) -> Iterator[Read]:
    """In order within each partition, and in any order between them."""
    queues: dict[tuple[str, int], list[Read]] = {}
    for r in records:
        queues.setdefault((r.topic, r.partition), []).append(r)
    while queues:
        place = dice.choice(list(queues))
        for _ in range(min(dice.randint(1, 200), len(queues[place]))):
            yield queues[place].pop(0)
        if not queues[place]:
            del queues[place]
