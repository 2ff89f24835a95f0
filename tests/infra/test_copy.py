"""How rows are handed to Postgres."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from infra.read import tables
from infra.shop.mesh import mesh
from tests.infra.anew import rows_of
from tests.infra.recorded_log import LOG

ORDERS = mesh.projections["orders"]


class Postgres:
    """What there is of a connection when rows are copied."""

    def __init__(self) -> None:
        self.copied: list[tuple[Any, ...]] = []
        self.made = 0
        self.ahead = 0

    def making(self, rows: Iterable[Any]) -> Iterator[Any]:
        for row in rows:
            self.made += 1
            yield row

    async def copy_records_to_table(self, table: str, *, records: Iterable[tuple[Any, ...]], **_: Any) -> str:
        for record in records:
            self.copied.append(record)
            self.ahead = max(self.ahead, self.made - len(self.copied))
        return f"COPY {len(self.copied)}"


async def test_rows_are_made_ready_as_they_go_and_counted() -> None:
    row = next(iter(rows_of(ORDERS, [r for r in LOG if r.topic == "orders.events"]).values()))
    db = Postgres()
    count = await tables.copy(db, ORDERS, "orders", db.making([row] * 5_001))  # type: ignore[arg-type]
    assert (count, db.ahead) == (5_001, tables.COPIED - 1)
    assert list(islice(db.copied, 1)) == [tuple(row.__dict__.values())]
