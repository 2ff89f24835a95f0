"""The aggregates of one partition, folded from the accepted records of its log. Pure: no IO, no clock.

Whatever is known here is a fold of the log from offset 0, and what is decided on top of it comes in by `merge`, once the
log has accepted it. A long log is first only taken in: an aggregate is folded when it is needed, or when its turn comes.

Not all of it need be in memory. What has not changed since it was written down (infra/write/state.py) may be let go of; who
folds, or decides, has what that is about put back before.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from infra.errors import LogMoved
from infra.messages import LOG_KEEPING, REUSED_CODE, RUNTIME, Begun, Discarded, Moved, Parked, Refused, Rejected
from infra.model.context import Aggregate, Context
from infra.wire.avro import Codec
from infra.wire.envelope import (
    REACTION,
    CommandName,
    EventRecord,
    ReactionPlace,
    Way,
    beginning,
    event_record,
    is_accepted,
    marked,
    reaction_place,
    remembered_as,
)
from infra.wire.inbound import Decided, Inbound
from infra.wire.inbox import aggregate_key
from infra.wire.record import Record, unreadable
from infra.write.intents import SUFFIXES, Intent, Said, Want, line_of, wants_of
from infra.write.parking import Queue, queue_after

CROWD = 1000  # events of one aggregate, some milliseconds, that are left until it is needed
NOWHERE: ReactionPlace = (-1, -1)

KnownCommand = tuple[bytes, CommandName]  # key, and what the command is called


class Seen(NamedTuple):
    """When a command was decided, and what it said; nothing is known of what it said before there were two ways in."""

    at: int
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of aggregate: its decider, what the places of its states begin with, and what these may want."""

    prefix: bytes
    initial: Any
    decide: Callable[[Any, Any], Iterable[Any]]
    evolve: Callable[[Any, Any], Any]
    wants: list[Want]
    commands: tuple[type, ...]
    events: tuple[type, ...]


@dataclass(slots=True)
class Changes:
    """What a run of commands makes of the aggregates, copied on write: nothing to them until they are merged.

    `cursor` is of the way they came by.
    """

    way: Way
    next_offset: int
    cursor: int
    timestamp: int
    last: Decided | None = None  # of these commands, the last that leaves an event
    states: dict[bytes, Any] = field(default_factory=dict)
    decided: dict[KnownCommand, Seen] = field(default_factory=dict)
    marks: dict[bytes, ReactionPlace] = field(default_factory=dict)
    queues: dict[bytes, Queue] = field(default_factory=dict)
    intents: dict[bytes, Intent | None] = field(default_factory=dict)


@dataclass(slots=True)
class History:
    """The states one aggregate went through in a batch, and the records that led to them."""

    kind: Kind
    key: bytes
    states: list[Any] = field(default_factory=list)
    records: list[EventRecord] = field(default_factory=list)


@dataclass(slots=True)
class Unwritten:
    """What changed, and is not written down yet. An empty queue is gone; `reopened` are intents, before and after.

    `wanted` is known once it is captured: the intents of each of these states, in the order of `Aggregates.suffixes`.
    """

    states: dict[bytes, Any] = field(default_factory=dict)  # by slot; also of every intent that changed
    wanted: dict[bytes, list[Intent | None]] = field(default_factory=dict)  # by slot
    reopened: list[tuple[Intent | None, Intent | None]] = field(default_factory=list)
    decided: dict[KnownCommand, Seen] = field(default_factory=dict)
    queues: dict[bytes, Queue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition is folded, and what is known of it as a whole."""

    next_offset: int
    inbound: list[tuple[Any, ...]]
    marks: dict[bytes, ReactionPlace]
    timestamp: int
    voids: int
    opened: int


class Aggregates:
    """The folded state of one events partition, whose end is `next_offset`.

    `inbound` is which topics commands come from, and how far they are decided; `marks` the highest reaction applied, by its source: the
    id and the partition of the topic that was heard.
    """

    def __init__(self, context: Context, codec: Codec, number: int, partitions: int, dedupe_ms: int) -> None:
        self.context = context
        self.codec = codec
        self.number = number
        self.partitions = partitions
        self._place = f"{context.events_topic}/{number}/"
        self.next_offset = 0
        self.inbound = Inbound()
        self.marks: dict[bytes, ReactionPlace] = {}
        self.timestamp = 0
        self.states: dict[bytes, Any] = {}
        self.decided: dict[KnownCommand, Seen] = {}
        self.unread: dict[bytes, list[EventRecord]] = {}  # accepted events by key that are not folded yet
        self.unread_events = 0
        self.intents: dict[bytes, Intent] = {}
        self.queues: dict[bytes, Queue] = {}
        self.voids = 0
        self.opened = 0  # intents
        self.kinds = kinds_of(context)
        self.suffixes = [s for s in SUFFIXES if any(want.suffix == s for kind in self.kinds for want in kind.wants)]
        self._new_intents: dict[bytes, Intent] = {}
        self.unwritten = Unwritten()
        self.is_torn = False  # an event could not be folded: the position is past what is known
        self._kind_of_prefix = {kind.prefix: kind for kind in self.kinds}
        self._kind_of_event = {event: kind for kind in self.kinds for event in kind.events}
        self._folded_at_once = {codec.prefix_of(t) for t in (Rejected, Parked, Discarded, *LOG_KEEPING)}
        self.dedupe_ms = dedupe_ms

    @property
    def cursors(self) -> list[int]:
        """The next command to decide, by the way it comes."""
        return self.inbound.cursors

    def event_id(self, origin: int | bytes) -> str:
        """The id of an event by its offset; a copied one has kept its own."""
        return origin.decode() if isinstance(origin, bytes) else f"{self._place}{origin}"

    # -- the past

    def fold(self, records: Iterable[Record]) -> None:
        """Take in the next records of the events partition; void ones only move the offset."""
        with self._whole():
            later = self._later(records)
            events = [event_record(record) for record in later if is_accepted(record)]
            self.voids += len(later) - len(events)
            for event in events:
                self._pass(event)
            self._fold_all(events)

    def take(self, records: Iterable[Record]) -> None:
        """Take in the next records as `fold` does, and leave each aggregate's until it is needed, or `settle` comes to it.

        What has to be at hand is said by `taken_at_once`.

        A partition is ready to decide once it has taken its log in; the intents of what is not folded yet are not open yet.
        """
        with self._whole():
            for record in self._later(records):
                if is_accepted(record):
                    self._take_one(event_record(record))
                else:
                    self.voids += 1

    def _take_one(self, event: EventRecord) -> None:
        self._pass(event)
        key = event.key
        if key in self.queues or event.value[:5] in self._folded_at_once:
            self.settle([key])
            self._fold_all([event])
            return
        self.unread_events += 1
        waiting = self.unread.setdefault(key, [])
        waiting.append(event)
        if len(waiting) >= CROWD:
            self.settle([key])

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """All of it, or what is known is not to be relied on: the position may be past what was folded."""
        try:
            yield
        except BaseException:
            self.is_torn = True
            raise

    def taken_at_once(self, records: Iterable[Record]) -> set[bytes]:
        """The keys of those records that are folded as they are taken in; some more may be among them."""
        answered = {r.key or b"" for r in records if (r.value or b"")[:5] in self._folded_at_once}
        coming = Counter([r.key or b"" for r in records])
        crowded = {key for key, count in coming.items() if count + len(self.unread.get(key, ())) >= CROWD}
        return answered | crowded | {key for key in coming if key in self.queues}

    def settle(self, keys: Iterable[bytes], most: int | None = None) -> None:
        """Fold what was taken of these keys, all of which is at hand; `most` is how many events of it."""
        if not self.unread:
            return
        with self._whole():
            events: list[EventRecord] = []
            later: dict[bytes, list[EventRecord]] = {}
            for key in dict.fromkeys(keys):
                waiting = self.unread.pop(key, [])
                part = waiting if most is None else waiting[: most - len(events)]
                events += part
                if len(part) < len(waiting):
                    later[key] = waiting[len(part) :]
            self.unread_events -= len(events)
            self._fold_all(events)
            self.unread |= later  # only now, for who folds an event folds first what is unread of its key

    def _later(self, records: Iterable[Record]) -> list[Record]:
        """Those that are not known yet; from now on they are."""
        start = self.next_offset
        later = [record for record in records if record.offset >= start]
        if later:
            self.next_offset = later[-1].offset + 1
        return later

    def pass_to(self, end: int) -> None:
        """The log is known up to here: marks of others' transactions may stand at its end, which are no records."""
        self.next_offset = max(self.next_offset, end)

    def _pass(self, record: EventRecord) -> None:
        """Time, the command of an event, and the reaction it was are behind us; of every record once, in order."""
        if record.at > self.timestamp:
            self.timestamp = record.at
        self.inbound.take(record)
        if record.identity is not None and record.identity[0] == REACTION:
            source, place = reaction_place(record.identity[1])
            self._mark(marked(source, record.owns), place)

    def _begin(self, event: Begun) -> None:
        for place in event.places:
            source, offset = place.rsplit("/", 1)
            self._mark([beginning(source.encode())], (int(offset), -1))

    def _mark(self, sources: Iterable[bytes], place: ReactionPlace) -> None:
        for source in sources:
            if place > self.marks.get(source, NOWHERE):
                self.marks[source] = place

    def _fold_all(self, records: Sequence[EventRecord]) -> None:
        """Fold accepted events: in order within each key, whichever keys they are of."""
        histories: dict[bytes, History] = {}
        for record, event in zip(records, self.codec.decode_many([r.value for r in records]), strict=True):
            try:
                self._fold_one(record, self.codec.decode(record.value) if event is None else event, histories)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise unreadable(self.event_id(record.origin), error) from error
        for slot, history in histories.items():
            self._fold_wants(slot, history)

    def _fold_one(self, record: EventRecord, event: Any, histories: dict[bytes, History]) -> None:
        """Fold one event; what its states want is looked at once a slot and batch, from `histories`."""
        key = record.key
        if key in self.unread:
            self.settle([key])
        kind = self._kind_of_event.get(type(event))
        if kind is None:
            self._fold_answer(record, event)
            return
        self._remember(record, event)
        slot = kind.prefix + key
        state = kind.evolve(self.states.get(slot, kind.initial), event)
        self.states[slot] = self.unwritten.states[slot] = state
        if kind.wants:
            history = histories.get(slot)
            if history is None:
                history = histories[slot] = History(kind, key)
            history.states.append(state)
            history.records.append(record)

    def _fold_answer(self, record: EventRecord, event: Any) -> None:
        """Fold what every context may say, or a log of itself."""
        if isinstance(event, Moved):
            raise LogMoved(
                f"{self.context.events_topic} was sealed and goes on in {event.to}: start again; if that does not help, "
                f"finish `weft topics grow {self.context.name} --partitions {event.partitions}`"
            )
        if isinstance(event, LOG_KEEPING):
            if isinstance(event, Begun):
                self._begin(event)
            return
        if not isinstance(event, RUNTIME):
            raise TypeError(f"{type(event).__name__} is no event of {self.context.name}")
        if isinstance(event, Rejected | Parked):
            if aggregate_key(record.key) is not None:
                self._requeue(record.key, queue_after(self.queues.get(record.key, ()), event, record.name))
        else:
            self._remember(record, event)

    def _remember(self, record: EventRecord, event: Any) -> None:
        """That the command of this event was decided; our own are known by their place, or by what they answer."""
        key = record.key
        if key in self.queues:
            self._requeue(key, queue_after(self.queues[key], event, record.name))
        if type(event) is Refused and event.code == REUSED_CODE:
            return
        if (name := remembered_as(record)) is not None:
            digest = record.identity[1] if record.identity else None
            self.decided[key, name] = self.unwritten.decided[key, name] = Seen(record.at, digest)

    def _fold_wants(self, slot: bytes, history: History) -> None:
        """The intents after these states of one slot: if the last wants nothing, what others wanted is no matter."""
        key, last = history.key.decode(), history.states[-1]
        for want in history.kind.wants:
            place = slot + want.suffix
            if want.of(key, last) is None:
                self._close(place)
                continue
            for state, record in zip(history.states, history.records, strict=True):
                wanted, intent = want.of(key, state), self.intents.get(place)
                if wanted is None:
                    self._close(place)
                elif intent is None or intent.wanted != wanted:
                    self._open(place, wanted, record)

    def _open(self, place: bytes, wanted: Any, record: EventRecord) -> None:
        key, correlation = self.event_id(record.origin), record.correlation.decode(errors="replace")
        first_topic = record.first_topic.decode(errors="replace")
        self._reopen(place, Intent(key, self.number, place, wanted, correlation, record.at, topic_id=first_topic))

    def _close(self, place: bytes) -> None:
        if place in self.intents:
            self._reopen(place, None)

    def _reopen(self, place: bytes, intent: Intent | None) -> None:
        """Put an intent, or none, at a place."""
        before = self.intents.pop(place, None)
        self._new_intents.pop(place, None)
        if intent is not None:
            self.opened += 1
            intent.line, intent.nth = line_of(intent.wanted, self.context.target), self.opened
            self.intents[place] = self._new_intents[place] = intent
        self.unwritten.reopened.append((before, intent))

    def _requeue(self, key: bytes, queue: Queue) -> None:
        if queue and key:
            self.queues[key] = queue
        else:
            self.queues.pop(key, None)
        self.unwritten.queues[key] = queue

    # -- what is decided on top of it

    def new_intents(self) -> list[Intent]:
        """The intents that folding or merging opened since this was last asked, and that are still open."""
        intents, self._new_intents = list(self._new_intents.values()), {}
        return intents

    def seen(self, key: bytes, name: CommandName) -> Seen | None:
        """The command that was decided within the window under this name; the log's own time says what is too long ago."""
        seen = self.decided.get((key, name))
        return seen if seen is not None and seen.at >= self.horizon else None

    def merge(self, changes: Changes) -> None:
        """Make what was decided the state, after the log accepted all of it."""
        with self._whole():
            self._merge(changes)

    def _merge(self, changes: Changes) -> None:
        self.next_offset, self.timestamp = changes.next_offset, changes.timestamp
        self.inbound.decide(changes.way, changes.cursor, changes.last)
        self.marks.update(changes.marks)
        self.states.update(changes.states)
        self.unwritten.states.update(changes.states)
        self.decided.update(changes.decided)
        self.unwritten.decided.update(changes.decided)
        for key, queue in changes.queues.items():
            self._requeue(key, queue)
        for place, intent in changes.intents.items():
            if intent is None:
                self._close(place)
            else:
                self._reopen(place, intent)

    @property
    def horizon(self) -> int:
        """Until when command ids are forgotten, in milliseconds; what is older was another command."""
        return self.timestamp - self.dedupe_ms

    # -- what is written down

    def unwritten_intents(self) -> list[Intent]:
        """Those that are open, and were opened since what changed was last captured."""
        opened = (after for _, after in self.unwritten.reopened if after is not None)
        return [intent for intent in opened if self.intents.get(intent.place) is intent]

    def intents_of(self, slot: bytes, state: Any, said: Sequence[Said | None]) -> Iterator[Intent]:
        """Those that a state has open, of which this was said, in the order of `suffixes`."""
        prefix, mark, key = slot.rpartition(b"\0")
        kind = self._kind_of_prefix[prefix + mark]
        for want in kind.wants:
            opened = said[self.suffixes.index(want.suffix)]
            if opened is not None:
                event_id, correlation, at, nth, topic_id = opened
                wanted = want.of(key.decode(), state)
                line = line_of(wanted, self.context.target)
                yield Intent(event_id, self.number, slot + want.suffix, wanted, correlation, at, line, nth, topic_id)

    def position(self) -> Position:
        return Position(
            self.next_offset, self.inbound.plain(), dict(self.marks), self.timestamp, self.voids, self.opened
        )

    def capture(self) -> tuple[Position, Unwritten]:
        """Where the partition is, and what changed since this was last asked: together they are all there is."""
        assert not self.unread, "what is only taken in is behind the position"
        unwritten, self.unwritten = self.unwritten, Unwritten()
        intents, suffixes = self.intents, self.suffixes
        unwritten.wanted = {slot: [intents.get(slot + suffix) for suffix in suffixes] for slot in unwritten.states}
        return self.position(), unwritten

    def resume(self, position: Position, queues: dict[bytes, Queue]) -> None:
        """Go on where it was written down, as if everything before had been folded."""
        self.next_offset, self.timestamp, self.voids = position.next_offset, position.timestamp, position.voids
        self.inbound, self.marks = Inbound.of(position.inbound), dict(position.marks)
        self.queues, self.opened = queues, position.opened

    def put_back(
        self, states: Mapping[bytes, Any], intents: Iterable[Intent], decided: Mapping[KnownCommand, Seen]
    ) -> None:
        """Have in memory what was let go of; its intents were opened before."""
        self.states.update(states)
        self.intents.update((intent.place, intent) for intent in intents)
        self.decided.update(decided)

    def let_go(self, slot: bytes) -> None:
        """Of an aggregate that is written down."""
        self.states.pop(slot, None)
        for suffix in self.suffixes:
            self.intents.pop(slot + suffix, None)

    def slots_of(self, key: bytes) -> list[bytes]:
        """Where the states of a key are."""
        return [kind.prefix + key for kind in self.kinds]


def kinds_of(context: Context) -> list[Kind]:
    """The kinds of aggregates of a context.

    Aggregates of different kinds may have the same id, so all kinds but the first put their name before it.
    """
    return [_kind(a, f"{a.name}\0".encode() if number else b"") for number, a in enumerate(context.aggregates)]


def _kind(a: Aggregate, prefix: bytes) -> Kind:
    return Kind(prefix, a.initial, a.decide, a.evolve, wants_of(a), a.commands, a.events)
