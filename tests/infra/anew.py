"""Rows of a log folded one record at a time, and rows that were held against each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.model.projection import Projection
from infra.read.fold import stored
from infra.read.held import Room
from infra.read.rebuild.compare import Comparison, Differences
from infra.read.rows import rows
from infra.read.verify import fold_one_by_one
from infra.wire.record import Read
from tests.infra.recorded_log import CODEC

AMPLE = Room(float("inf"), Path("nowhere"))


def rows_of(projection: Projection, records: Sequence[Read], room: Room = AMPLE, batch: int = 1000) -> dict[str, Any]:
    """As they come back from Postgres, by id, in the order they come in."""
    with rows(projection, room) as held:
        fold_one_by_one(projection, CODEC, (records[i : i + batch] for i in range(0, len(records), batch)), held)
        return {row_id: stored(projection, row) for row_id, row in held.in_order()}


def compared(projection: Projection, live: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> Differences:
    comparison = Comparison(projection, sorted(rebuilt.items()))
    for row_id, row in sorted(live.items()):
        comparison.add(row_id, row)
    return comparison.differences()
