"""The rows of a projection by id, as many as there may be."""

import pickle
from collections.abc import Mapping
from sys import getsizeof
from typing import Any

from infra.model.projection import Projection
from infra.read.held import Form, Held, Room

ENTRY_BYTES = 200  # of a row in memory beside what it is made of


def rows(projection: Projection, room: Room) -> Held[str, Any]:
    """No rows yet; a row that is written down is the tuple of its columns, in their order."""
    new, assign, columns = object.__new__, object.__setattr__, projection.columns

    def row_of(written: bytes) -> Any:
        row: Any = new(projection.row)
        assign(row, "__dict__", dict(zip(columns, pickle.loads(written), strict=True)))  # noqa: S301 (our own spill)
        return row

    return Held(Form(str.encode, bytes.decode, _written, row_of, _size), room)


def _written(row: Any) -> bytes:
    return pickle.dumps((*row.__dict__.values(),), 5)


def _size(row_id: str, row: Any) -> int:
    """No less than it takes; what many rows share counts for each."""
    if row is None:
        return ENTRY_BYTES + getsizeof(row_id)
    columns: Mapping[str, Any] = row.__dict__
    return ENTRY_BYTES + getsizeof(columns) + sum(map(getsizeof, columns.values()))
