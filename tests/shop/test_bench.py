"""What the benches measure is what they say: a log in which every order runs its whole course."""

from infra.shop.bench import rebuild, work
from infra.shop.mesh import mesh
from infra.wire.record import Outgoing
from infra.write.aggregates import Aggregates


class Kept:
    """An appender that keeps the types of what it is given."""

    def __init__(self) -> None:
        self.types: list[bytes | None] = []

    async def append(self, topic: str, partition: int, records: list[Outgoing]) -> int:
        self.types += [dict(record.headers)["ce_type"] for record in records]
        return len(self.types) - len(records)


async def test_every_order_of_the_log_that_is_rebuilt_is_delivered_and_nothing_is_refused() -> None:
    aggregates, kept = Aggregates(mesh.context("orders"), mesh.codec, 0, 1, rebuild.FOR_EVER_MS), Kept()
    await work.append(kept, aggregates, list(rebuild._commands(0, 1, 50)))  # type: ignore[arg-type]
    assert kept.types.count(b"orders.OrderDelivered") == 50
    assert not [name for name in kept.types if not name or name.startswith(b"weft.")]
