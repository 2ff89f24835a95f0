"""Commands to one partition of the orders context, what it makes of them, and the log that results."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from commands.orders import CancelOrder
from infra.model.context import Context
from infra.shop.mesh import mesh
from infra.wire.record import Outgoing, Read, Record
from infra.write.aggregates import Aggregates
from infra.write.decision import CommandHandler, Decision
from infra.write.reactions import outgoing_command
from tests.orders.examples import place

NOW = 1_700_000_000_000
DAY = 86_400_000
CODEC = mesh.codec


def empty(context: str | Context = "orders", partitions: int = 1, number: int = 0) -> Aggregates:
    """The aggregates of a partition whose log is empty."""
    known = mesh.context(context) if isinstance(context, str) else context
    return Aggregates(known, CODEC, number, partitions, 30 * DAY)


def decide(aggregates: Aggregates, records: Sequence[Record], start: int = 0) -> Decision:
    """A decision that nobody has appended."""
    return CommandHandler(aggregates).decide(records, start)


def decide_all(aggregates: Aggregates, records: Sequence[Record]) -> Decision:
    """A decision that the log has accepted."""
    decision = decide(aggregates, records)
    aggregates.merge(decision)
    return decision


def commands(*messages: tuple[Any, str], start: int = 0, at: int = NOW) -> list[Read]:
    """(command, id) pairs as records from offset `start` on."""
    records = [outgoing_command(CODEC, message, identity) for message, identity in messages]
    return [Read("orders.commands", 0, start + i, at, r.key, r.value, r.headers) for i, r in enumerate(records)]


def landed(records: Iterable[Outgoing], base: int) -> list[Read]:
    """Records as they are read, having landed at `base`."""
    return [
        Read("orders.events", 0, base + i, r.timestamp or 0, r.key, r.value, r.headers) for i, r in enumerate(records)
    ]


def order(number: int) -> Any:
    return replace(place, order_id=f"order-{number}")


def cancel(number: int, identity: str, offset: int) -> Read:
    return commands((CancelOrder(order_id=f"order-{number}", reason="x"), identity), start=offset)[0]


def junk(key: bytes, identity: bytes, offset: int) -> Read:
    """A record that is no command."""
    return Read("orders.commands", 0, offset, NOW, key, b"junk", [("ce_id", identity)])


def events(decision: Decision) -> list[Any]:
    return [CODEC.decode(r.value or b"") for r in decision.records]


def said(decision: Decision) -> list[tuple[str, str]]:
    """(event, command id) of each."""
    return [
        (type(CODEC.decode(r.value or b"")).__name__, (dict(r.headers)["ce_causationid"] or b"").decode())
        for r in decision.records
    ]


def blocked() -> Aggregates:
    """Order 1 is placed; then junk of the same key, and a cancellation behind it."""
    aggregates = empty()
    records = [*commands((order(1), "a")), junk(b"order-1", b"bad", 1), cancel(1, "c", 2)]
    decision = decide(aggregates, records)
    assert said(decision) == [("OrderPlaced", "a"), ("Rejected", "bad"), ("Parked", "c")]
    assert [dict(letter.headers)["ce_id"] for letter in decision.dead] == [b"bad", b"c"]
    aggregates.merge(decision)
    return aggregates
