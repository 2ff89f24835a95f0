"""What a log says by itself: its accepted events, and what the context's own functions make of them.

Of the runtime it knows the codec and the one rule, so that what a process believes can be held against it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

from infra.kafka.memory import MemoryKafka
from infra.mesh import Mesh
from infra.messages import LOG_KEEPING, MAX_ID, RUNTIME, Parked, Rejected, is_id
from infra.model.context import Aggregate, Context
from infra.wire.envelope import CAUSATION, COMMAND_OFFSET, EXPECTED_OFFSET, ID
from infra.wire.record import Read, place_of

StateOf = tuple[str, bytes]  # name of the aggregate's kind, key
Queues = dict[bytes, dict[bytes, str]]  # key: command that waits: why it could not be processed


@dataclass(frozen=True)
class Fact:
    """An accepted event, and what its record says of it."""

    record: Read
    event: Any
    id: bytes
    command_id: bytes
    command_offset: int

    @property
    def key(self) -> bytes:
        return self.record.key or b""

    @property
    def place(self) -> str:
        return place_of(self.record)

    @property
    def is_waiting(self) -> bool:
        """Whether it says that its command is not decided yet."""
        return isinstance(self.event, Rejected | Parked)


@dataclass(frozen=True)
class Wish:
    """What a state wants of the outside, or of the clock (a Due), since the event whose id is `key`; `at` in milliseconds."""

    key: str
    wanted: Any
    at: int


@dataclass
class Fold:
    """What accepted events lead to."""

    states: dict[StateOf, Any] = field(default_factory=dict)
    wishes: dict[tuple[StateOf, str], Wish] = field(default_factory=dict)
    queues: Queues = field(default_factory=dict)


@dataclass(frozen=True)
class Partition:
    """One partition of a context: what it says, and what it was asked."""

    context: Context
    number: int
    end: int
    facts: list[Fact]
    asked: list[Read]

    def command_of(self, fact: Fact) -> Read:
        """The record that an event answers."""
        return self.asked[fact.command_offset]

    def decisions(self) -> Iterator[list[Fact]]:
        """The events of one command after those of another, without what only waits."""
        for _, said in groupby(self.facts, lambda fact: (fact.key, fact.command_id, fact.is_waiting)):
            facts = list(said)
            if not facts[0].is_waiting:
                yield facts

    @cached_property
    def fold(self) -> Fold:
        fold = Fold()
        for fact in self.facts:
            if not isinstance(fact.event, LOG_KEEPING):
                requeue(fold.queues, fact)
            if not isinstance(fact.event, (*RUNTIME, *LOG_KEEPING)):
                _evolve(fold, aggregate_of(self.context, fact.event), fact)
        return fold


def aggregate_of(context: Context, message: Any) -> Aggregate:
    return next(a for a in context.aggregates if type(message) in (*a.commands, *a.events))


def _evolve(fold: Fold, aggregate: Aggregate, fact: Fact) -> None:
    place = (aggregate.name, fact.key)
    state = fold.states[place] = aggregate.evolve(fold.states.get(place, aggregate.initial), fact.event)
    for kind, want in (("pending", aggregate.pending), ("due", aggregate.due)):
        if want is None:
            continue
        wanted, wish = want(fact.key.decode(), state), fold.wishes.get((place, kind))
        if wanted is None:
            fold.wishes.pop((place, kind), None)
        elif wish is None or wish.wanted != wanted:
            fold.wishes[place, kind] = Wish(fact.id.decode(), wanted, fact.record.timestamp)


def requeue(queues: Queues, fact: Fact) -> None:
    """A command that could not be processed waits, and so do those of its key that came after, until each was answered."""
    if fact.is_waiting:
        if _is_text(fact.key) and is_id(fact.key.decode()):
            code = fact.event.code if isinstance(fact.event, Rejected) else "behind"
            queues.setdefault(fact.key, {})[fact.command_id] = code
    elif queue := queues.get(fact.key):
        queue.pop(fact.command_id, None)
        if not queue:
            del queues[fact.key]


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def identity_of(record: Read) -> bytes:
    """What a record in a topic of commands is known by: the id it was given, or its own place."""
    return _given(record) or place_of(record).encode()


def kept_as(letter: Read) -> bytes:
    """What a dead letter is known by: the same, and its place is where it was first."""
    headers = dict(letter.headers)
    return _given(letter) or b"/".join(headers[f"dlq-original-{n}"] or b"" for n in ("topic", "partition", "offset"))


def _given(record: Read) -> bytes:
    given = dict(record.headers).get(ID) or b""
    return given if len(given) <= MAX_ID else b""


def partitions_of(mesh: Mesh, kafka: MemoryKafka) -> list[Partition]:
    """Every partition of every context, read from the beginning."""
    return [
        _read(mesh, context, number, kafka) for context in mesh.contexts.values() for number in range(kafka.partitions)
    ]


def _read(mesh: Mesh, context: Context, number: int, kafka: MemoryKafka) -> Partition:
    log = kafka.log(context.events_topic, number)
    facts = [fact for record in log if (fact := _fact(mesh, record))]
    return Partition(context, number, len(log), facts, list(kafka.log(context.commands_topic, number)))


def _fact(mesh: Mesh, record: Read) -> Fact | None:
    """What a record says, if it landed at the offset its writer expected."""
    headers = dict(record.headers)
    if headers.get(EXPECTED_OFFSET) != str(record.offset).encode():
        return None
    event = mesh.codec.decode(record.value or b"")
    return Fact(record, event, headers[ID] or b"", headers[CAUSATION] or b"", int(headers[COMMAND_OFFSET] or b""))
