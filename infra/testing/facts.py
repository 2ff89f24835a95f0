"""What a log says by itself: its accepted events, and what the context's own functions make of them.

Of the runtime it knows the codec and the one rule, so that what a process believes can be held against it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

from infra.kafka.memory import MemoryKafka, without_marks
from infra.mesh import Mesh
from infra.messages import LOG_KEEPING, MAX_ID, RUNTIME, Parked, Rejected, Resumed, is_id
from infra.model.context import Aggregate, Context
from infra.wire.envelope import (
    CAUSATION,
    COMMAND_OFFSET,
    EXPECTED_OFFSET,
    ID,
    OWN_OFFSET,
    CommandName,
    Way,
    command_name,
)
from infra.wire.inbound import id_by_place
from infra.wire.limits import MAX_KEY
from infra.wire.record import Read, place_of

StateOf = tuple[str, bytes]  # name of the aggregate's kind, key
Queues = dict[bytes, dict[CommandName, str]]  # key: command that waits: why it could not be processed


@dataclass(frozen=True)
class Fact:
    """An accepted event, and what its record says of it."""

    record: Read
    event: Any
    id: bytes
    command_id: bytes
    way: Way
    command_offset: int

    @property
    def command(self) -> CommandName:
        """What its command is called among those of its key."""
        return command_name(self.way, self.command_id)

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

    @property
    def is_noise(self) -> bool:
        """Whether it answers a stranger's record that was no command."""
        return isinstance(self.event, Rejected) and not self.event.blocks


Known = dict[tuple[str, int], list[Fact | None]]  # by context and partition; None where nothing was accepted


@dataclass(frozen=True)
class Wish:
    """What a state wants of the outside, or of the clock (a Due), since the event whose id is `key`; `at` in milliseconds."""

    key: str
    wanted: Any
    at: int


@dataclass
class Fold:
    """What accepted events lead to, as they are taken in one after the other."""

    context: Context
    states: dict[StateOf, Any] = field(default_factory=dict)
    wishes: dict[tuple[StateOf, str], Wish] = field(default_factory=dict)
    queues: Queues = field(default_factory=dict)

    def take(self, fact: Fact) -> None:
        requeue(self.queues, fact)
        if not isinstance(fact.event, RUNTIME):
            _evolve(self, aggregate_of(self.context, fact.event), fact)


@dataclass(frozen=True)
class Partition:
    """One partition of a context: what it says, and what it was asked by each way.

    `resumed` is what it says of its command topics, `lows` where they begin, `lost` what was asked and is not in them any more.
    `aborted` are the offsets of what nobody asked in the end.
    """

    context: Context
    number: int
    end: int
    facts: list[Fact]
    resumed: list[Fact]
    asked: dict[Way, list[Read]]
    lows: dict[Way, int]
    lost: dict[Way, list[Read]]
    aborted: dict[Way, frozenset[int]]

    def everything_asked(self) -> Iterator[tuple[Way, Read]]:
        """What is still there of it."""
        for way, records in self.asked.items():
            for record in without_marks(records[self.lows[way] :]):
                if record.offset not in self.aborted[way]:
                    yield way, record

    def everything_lost(self) -> Iterator[tuple[Way, Read]]:
        """What is not."""
        for way, records in self.asked.items():
            for record in without_marks([*self.lost[way], *records[: self.lows[way]]]):
                if record.offset not in self.aborted[way]:
                    yield way, record

    def command_of(self, fact: Fact) -> Read:
        """The record that an event answers, be it lost by now: of those that stood at its place, the last before it."""
        there_were = [r for r in self.lost[fact.way] if r.offset == fact.command_offset]
        there_were += self.asked[fact.way][fact.command_offset : fact.command_offset + 1]
        return max(
            (r for r in there_were if answers(fact, r)),
            key=lambda r: (r.timestamp <= fact.record.timestamp, r.timestamp),
        )

    def decisions(self) -> Iterator[list[Fact]]:
        """The events of one command after those of another, without what only waits."""
        for _, said in groupby(self.facts, lambda fact: (fact.key, fact.command, fact.command_offset, fact.is_waiting)):
            facts = list(said)
            if not facts[0].is_waiting:
                yield facts

    @cached_property
    def fold(self) -> Fold:
        fold = Fold(self.context)
        for fact in self.facts:
            fold.take(fact)
        return fold


def answers(fact: Fact, record: Read) -> bool:
    """Whether an event is of this command, among all that ever stood at its place."""
    return identity_of(record) == fact.command_id and (not fact.key or record.key == fact.key)


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
    """A command that could not be processed waits, and so do those of its key that came after, until each was answered.

    A stranger's that is none is answered, and nothing more.
    """
    if fact.is_noise:
        return
    if fact.is_waiting:
        if _is_text(fact.key) and is_id(fact.key.decode()):
            code = fact.event.code if isinstance(fact.event, Rejected) else "behind"
            queues.setdefault(fact.key, {})[fact.command] = code
    elif queue := queues.get(fact.key):
        queue.pop(fact.command, None)
        if not queue:
            del queues[fact.key]


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def identity_of(record: Read) -> bytes:
    """What a record in a topic of commands is known by, also where it is forwarded to: the id it was given, or one by its place."""
    return _given(record) or id_by_place(record)


def kept_as(letter: Read, context: Context) -> tuple[bytes, CommandName]:
    """The key and the command of a dead letter, as the log has them: its place is where it was first."""
    headers = dict(letter.headers)
    where = [headers[f"dlq-original-{part}"] or b"" for part in ("topic", "partition", "offset")]
    way = Way.OWN if where[0] == context.own_topic.encode() else Way.COMMANDS
    key = letter.key or b""
    return key if len(key) <= MAX_KEY else b"", command_name(way, _given(letter) or b"/".join(where))


def _given(record: Read) -> bytes:
    given = dict(record.headers).get(ID) or b""
    return given if len(given) <= MAX_ID and _is_text(given) else b""


def partitions_of(mesh: Mesh, kafka: MemoryKafka, known: Known) -> list[Partition]:
    """Every partition of every context, read from the beginning; `known` is what was made of records before."""
    return [
        _read(mesh, context, number, kafka, known.setdefault((context.name, number), []))
        for context in mesh.contexts.values()
        for number in range(kafka.partitions)
    ]


def _read(mesh: Mesh, context: Context, number: int, kafka: MemoryKafka, known: list[Fact | None]) -> Partition:
    log = kafka.log(context.events_topic, number)
    known += [_fact(mesh, record) for record in log[len(known) :]]  # no log of events ever loses anything here
    said = [fact for fact in known if fact]
    facts = [fact for fact in said if not isinstance(fact.event, LOG_KEEPING)]
    resumed = [fact for fact in said if isinstance(fact.event, Resumed)]
    asked = {way: list(kafka.log(topic, number)) for way, topic in ways(context).items()}
    lows = {way: kafka.lows.get((topic, number), 0) for way, topic in ways(context).items()}
    lost = {way: kafka.lost.get((topic, number), []) for way, topic in ways(context).items()}
    aborted = {way: kafka.aborted((topic, number)) for way, topic in ways(context).items()}
    return Partition(context, number, len(log), facts, resumed, asked, lows, lost, aborted)


def ways(context: Context) -> dict[Way, str]:
    """The topics by which a context is asked."""
    return {Way.COMMANDS: context.commands_topic, Way.OWN: context.own_topic}


def _fact(mesh: Mesh, record: Read) -> Fact | None:
    """What a record says, if it landed at the offset its writer expected."""
    headers = dict(record.headers)
    if headers.get(EXPECTED_OFFSET) != str(record.offset).encode():
        return None
    event = mesh.codec.decode(record.value or b"")
    way = Way.OWN if OWN_OFFSET in headers else Way.COMMANDS
    offset = int(headers[OWN_OFFSET if way is Way.OWN else COMMAND_OFFSET] or b"")
    return Fact(record, event, headers[ID] or b"", headers[CAUSATION] or b"", way, offset)
