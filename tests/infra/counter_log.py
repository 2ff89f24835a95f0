"""Commands to one partition of counters, what it makes of them, and the log that results."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from infra.model.context import Context
from infra.settings import DAY_MS
from infra.testing.disk import Content, MemoryStore
from infra.wire.envelope import REACTION
from infra.wire.record import Header, Outgoing, Read, Record
from infra.write.aggregates import Aggregates
from infra.write.decision import CommandHandler, Decision
from infra.write.reactions import outgoing_command
from infra.write.state import State
from tests.counter.commands.counter import Add, Carry, Empty
from tests.counter.mesh import mesh
from tests.counter.streams.counter import decider

NOW = 1_700_000_000_000
CODEC = mesh.codec
BROKEN = 13  # the amount at which this decider has a bug


def _decide(command: Any, counter: Any) -> Any:
    if isinstance(command, Add) and command.amount == BROKEN:
        raise ZeroDivisionError("a bug")
    return decider.decide(command, counter)


(_aggregate,) = mesh.context("counter").aggregates
CONTEXT = replace(mesh.context("counter"), aggregates=(replace(_aggregate, decide=_decide),))


def fresh(context: Context = CONTEXT, partitions: int = 1, number: int = 0) -> Aggregates:
    """The aggregates of a partition whose log is empty."""
    return Aggregates(context, CODEC, number, partitions, 30 * DAY_MS)


def stored(aggregates: Aggregates, content: Content | None = None, budget: float = math.inf) -> State:
    """The state of a partition that has this store; an empty one, if none is given."""
    return State(aggregates, MemoryStore(content or Content(b"")), lambda: budget)


def decide(aggregates: Aggregates, records: Sequence[Record], start: int = 0) -> Decision:
    """A decision that nobody has appended."""
    handler = CommandHandler(aggregates)
    return handler.decide(handler.read(records, start))


def decide_all(aggregates: Aggregates, records: Sequence[Record]) -> Decision:
    """A decision that the log has accepted."""
    decision = decide(aggregates, records)
    aggregates.merge(decision)
    return decision


def commands(*messages: tuple[Any, str], start: int = 0, at: int = NOW) -> list[Read]:
    """(command, id) pairs as records from offset `start` on, in the topic they come by: they have one way."""
    records = [outgoing_command(CODEC, message, identity) for message, identity in messages]
    asked = all(type(message) in CONTEXT.asked for message, _ in messages)
    topic = CONTEXT.commands_topic if asked else CONTEXT.own_topic
    return [Read(topic, 0, start + i, at, r.key, r.value, r.headers) for i, r in enumerate(records)]


def own(message: Any, identity: str, offset: int, told_by: Header | None = None) -> Read:
    """What a counter asks itself."""
    record = outgoing_command(CODEC, message, identity)
    headers = [*record.headers, *([told_by] if told_by else [])]
    return Read(CONTEXT.own_topic, 0, offset, NOW, record.key, record.value, headers)


def discard(identity: bytes, offset: int) -> Read:
    headers = [("ce_type", b"weft.Discard"), ("ce_id", identity)]
    return Read(CONTEXT.commands_topic, 0, offset, NOW, b"c1", b'{"reason": "never"}', headers)


def carry(number: int, place: bytes, offset: int) -> Read:
    return own(Carry(counter_id=f"c{number}"), f"r-{place.decode()}", offset, (REACTION, place))


def landed(records: Iterable[Outgoing], base: int) -> list[Read]:
    """Records as they are read, having landed at `base`."""
    return [
        Read("counter.events", 0, base + i, r.timestamp or 0, r.key, r.value, r.headers) for i, r in enumerate(records)
    ]


def add(number: int, amount: int = 1) -> Add:
    return Add(counter_id=f"c{number}", amount=amount)


def empty(number: int, filling: int = 0) -> Empty:
    return Empty(counter_id=f"c{number}", filling=filling)


def junk(key: bytes, identity: bytes, offset: int) -> Read:
    """A record that is no command."""
    return Read("counter.commands", 0, offset, NOW, key, b"junk", [("ce_id", identity)])


def failing(key: bytes, identity: bytes, offset: int) -> Read:
    """A command that nobody can decide."""
    command = outgoing_command(CODEC, Add(counter_id=key.decode(), amount=BROKEN), identity.decode())
    return Read(CONTEXT.commands_topic, 0, offset, NOW, key, command.value, command.headers)


def events(decision: Decision) -> list[Any]:
    return [CODEC.decode(r.value or b"") for r in decision.records]


def said(decision: Decision) -> list[tuple[str, str]]:
    """(event, command id) of each."""
    causes = [dict(record.headers)["ce_causationid"] or b"" for record in decision.records]
    return [(type(event).__name__, cause.decode()) for event, cause in zip(events(decision), causes, strict=True)]


def blocked() -> Aggregates:
    """Counter 1 is added to; then what its decider fails at, and a command to empty it behind that."""
    aggregates = fresh()
    records = [*commands((add(1), "a")), failing(b"c1", b"bad", 1), *commands((empty(1), "c"), start=2)]
    decision = decide(aggregates, records)
    assert said(decision) == [("Added", "a"), ("Rejected", "bad"), ("Parked", "c")]
    assert [dict(letter.headers)["ce_id"] for letter in decision.dead] == [b"bad", b"c"]
    aggregates.merge(decision)
    return aggregates
