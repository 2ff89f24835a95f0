"""The rows of a projection by id, as many as there may be."""

import pickle
from collections.abc import Mapping
from datetime import UTC
from sys import getsizeof
from typing import Any

from infra.model.projection import MOMENT, Projection
from infra.read.held import Form, Held, Room

ENTRY_BYTES = 200  # of a row in memory beside what it is made of


def rows(projection: Projection, room: Room) -> Held[str, Any]:
    """No rows yet. One that is written down is its columns, in their order; a moment in UTC is alone in a tuple."""
    new, assign, columns = object.__new__, object.__setattr__, projection.columns
    moments = [i for i, kind in enumerate(projection.column_types) if kind == MOMENT]

    def written(row: Any) -> bytes:
        values = list(row.__dict__.values())
        for i in moments:
            if (at := values[i]) is not None and at.tzinfo is UTC:
                values[i] = (
                    at.replace(tzinfo=None),
                )  # pickle takes a time zone apart, which takes longer than the row
        return pickle.dumps(values, 5)

    def row_of(text: bytes) -> Any:
        values = pickle.loads(text)  # noqa: S301 (our own spill)
        for i in moments:
            if type(values[i]) is tuple:
                values[i] = values[i][0].replace(tzinfo=UTC)
        row: Any = new(projection.row)
        assign(row, "__dict__", dict(zip(columns, values, strict=True)))
        return row

    return Held(Form(str.encode, bytes.decode, written, row_of, _size), room)


def _size(row_id: str, row: Any) -> int:
    """No less than it takes; what many rows share counts for each."""
    if row is None:
        return ENTRY_BYTES + getsizeof(row_id)
    columns: Mapping[str, Any] = row.__dict__
    return ENTRY_BYTES + getsizeof(columns) + sum(map(getsizeof, columns.values()))
