"""The aggregates of one partition, folded from the accepted records of its log. Pure: no IO, no clock.

Whatever is known here is a fold of the log from offset 0, and what is decided on top of it comes in by `merge`, once the
log has accepted it. A long log is first only taken in: an aggregate is folded when it is needed, or when its turn comes.
"""

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from infra.errors import LogMoved
from infra.messages import LOG_KEEPING, REUSED_CODE, RUNTIME, Discarded, Moved, Parked, Refused, Rejected
from infra.model.context import Aggregate, Context
from infra.wire.avro import Codec
from infra.wire.envelope import (
    REACTION,
    CommandName,
    EventRecord,
    ReactionPlace,
    Way,
    event_record,
    is_accepted,
    reaction_place,
    remembered_as,
)
from infra.wire.inbound import Decided, Inbound
from infra.wire.inbox import aggregate_key
from infra.wire.record import Record, unreadable
from infra.write.intents import DUE, PENDING, Intent, Want, wants_of
from infra.write.parking import Queue, queue_after

NOWHERE: ReactionPlace = (-1, -1)


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
    decided: dict[tuple[bytes, CommandName], Seen] = field(default_factory=dict)
    touched: set[bytes] = field(default_factory=set)  # keys
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


@dataclass(frozen=True, slots=True)
class Captured:
    """A partition as of one offset: of each key that changed its states, decided command ids and open intents."""

    next_offset: int
    inbound: list[tuple[Any, ...]]
    marks: dict[bytes, ReactionPlace]
    timestamp: int
    voids: int
    queues: dict[bytes, Queue]
    content: dict[bytes, tuple[dict[bytes, Any], dict[CommandName, Seen], dict[bytes, Intent]]]


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
        self.next_offset = 0
        self.inbound = Inbound()
        self.marks: dict[bytes, ReactionPlace] = {}
        self.timestamp = 0
        self.states: dict[bytes, Any] = {}
        self.decided: dict[bytes, dict[CommandName, Seen]] = {}  # by key
        self.unread: dict[bytes, list[EventRecord]] = {}  # accepted events by key that are not folded yet
        self.cold: dict[bytes, bytes] = {}  # aggregates as a snapshot has them, by key, until they are needed
        self.intents: dict[bytes, Intent] = {}
        self.queues: dict[bytes, Queue] = {}
        self.voids = 0
        self.kinds = kinds_of(context)
        self._new_intents: dict[bytes, Intent] = {}
        self._changed: set[bytes] = set()  # keys, since the last snapshot
        self._kind_of_event = {event: kind for kind in self.kinds for event in kind.events}
        self._folded_at_once = {codec.prefix_of(t) for t in (Rejected, Parked, Discarded, *LOG_KEEPING)}
        self.dedupe_ms = dedupe_ms

    @property
    def cursors(self) -> list[int]:
        """The next command to decide, by the way it comes."""
        return self.inbound.cursors

    def event_id(self, origin: int | bytes) -> str:
        """The id of an event by its offset; a copied one has kept its own."""
        return origin.decode() if isinstance(origin, bytes) else f"{self.context.events_topic}/{self.number}/{origin}"

    # -- the past

    def fold(self, records: Iterable[Record]) -> None:
        """Take in the next records of the events partition; void ones only move the offset."""
        later = self._later(records)
        events = [event_record(record) for record in later if is_accepted(record)]
        self.voids += len(later) - len(events)
        for event in events:
            self._pass(event)
        self._fold_all(events)

    def take(self, records: Iterable[Record]) -> None:
        """Take in the next records as `fold` does, and leave each aggregate's until it is needed, or `settle` comes to it.

        A partition is ready to decide once it has taken its log in; the intents of what is not folded yet are not open yet.
        """
        unread, queues, at_once = self.unread, self.queues, self._folded_at_once
        for record in self._later(records):
            if not is_accepted(record):
                self.voids += 1
                continue
            event = event_record(record)
            self._pass(event)
            key = event.key
            if key in queues or event.value[:5] in at_once:
                self.thaw([key])
                self._fold_all([event])
            elif key in unread:
                unread[key].append(event)
            else:
                unread[key] = [event]

    def settle(self, keys: int) -> bool:
        """Fold what was taken of so many keys; whether there are more."""
        chosen = list(islice(self.unread, keys))
        self._fold_all([event for key in chosen for event in self.unread.pop(key)])
        return bool(self.unread)

    def thaw(self, keys: Iterable[bytes]) -> None:
        """Have aggregates as they are now: from their snapshot, then from what was taken of the log since."""
        if not (self.cold or self.unread):
            return
        distinct = list(dict.fromkeys(keys))
        for key in distinct:
            if key in self.cold:
                states, ids, intents = pickle.loads(self.cold.pop(key))  # noqa: S301 (our own snapshot)
                self.states |= states
                self.decided[key] = ids
                self.intents |= intents
                self._new_intents |= intents
        self._fold_all([event for key in distinct for event in self.unread.pop(key, ())])

    def _later(self, records: Iterable[Record]) -> list[Record]:
        """Those that are not known yet; from now on they are."""
        start = self.next_offset
        later = [record for record in records if record.offset >= start]
        if later:
            self.next_offset = later[-1].offset + 1
        return later

    def _pass(self, record: EventRecord) -> None:
        """Time, the command of an event, and the reaction it was are behind us; of every record once, in order."""
        if record.at > self.timestamp:
            self.timestamp = record.at
        self.inbound.take(record)
        if record.identity is not None and record.identity[0] == REACTION:
            source, place = reaction_place(record.identity[1])
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
        if key in self.cold or key in self.unread:
            self.thaw([key])
        kind = self._kind_of_event.get(type(event))
        if kind is None:
            self._fold_answer(record, event)
            return
        self._remember(record, event)
        slot = kind.prefix + key
        state = self.states[slot] = kind.evolve(self.states.get(slot, kind.initial), event)
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
        self._changed.add(key)
        if type(event) is Refused and event.code == REUSED_CODE:
            return
        if (name := remembered_as(record)) is not None:
            digest = record.identity[1] if record.identity else None
            self.decided.setdefault(key, {})[name] = Seen(record.at, digest)

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
                    self.intents.pop(place, None)
                elif intent is None or intent.wanted != wanted:
                    self._open(place, wanted, record)

    def _open(self, place: bytes, wanted: Any, record: EventRecord) -> None:
        key, correlation = self.event_id(record.origin), record.correlation.decode(errors="replace")
        intent = Intent(key, self.number, place, wanted, correlation, record.at)
        self.intents[place] = self._new_intents[place] = intent

    def _close(self, place: bytes) -> None:
        self.intents.pop(place, None)
        self._new_intents.pop(place, None)

    def _requeue(self, key: bytes, queue: Queue) -> None:
        if queue and key:
            self.queues[key] = queue
        else:
            self.queues.pop(key, None)

    # -- what is decided on top of it

    def new_intents(self) -> list[Intent]:
        """The intents that folding or merging opened since this was last asked, and that are still open."""
        intents, self._new_intents = list(self._new_intents.values()), {}
        return intents

    def seen(self, key: bytes, name: CommandName) -> Seen | None:
        """The command that was decided within the window under this name; the log's own time says what is too long ago."""
        seen = self.decided.get(key, {}).get(name)
        return seen if seen is not None and seen.at >= self._horizon else None

    def merge(self, changes: Changes) -> None:
        """Make what was decided the state, after the log accepted all of it."""
        self.thaw(
            key for key in changes.touched if key in self.cold
        )  # a snapshot froze it while the append was on its way
        self._changed |= changes.touched
        self.next_offset, self.timestamp = changes.next_offset, changes.timestamp
        self.inbound.decide(changes.way, changes.cursor, changes.last)
        self.marks.update(changes.marks)
        self.states.update(changes.states)
        for (key, name), seen in changes.decided.items():
            self.decided.setdefault(key, {})[name] = seen
        for key, queue in changes.queues.items():
            self._requeue(key, queue)
        for place, intent in changes.intents.items():
            if intent is None:
                self._close(place)
            else:
                self.intents[place] = self._new_intents[place] = intent

    @property
    def _horizon(self) -> int:
        return self.timestamp - self.dedupe_ms

    # -- snapshots

    def capture(self) -> Captured:
        """What changed since this was last asked, to be frozen while the partition goes on."""
        horizon, changed = self._horizon, self._changed
        self._changed = set()
        content = {}
        for key in changed:
            states = {slot: self.states[slot] for slot in self._slots(key) if slot in self.states}
            ids = {name: seen for name, seen in self.decided.get(key, {}).items() if seen.at >= horizon}
            content[key] = (states, ids, {p: self.intents[p] for p in self._places(key) if p in self.intents})
        return Captured(
            self.next_offset,
            self.inbound.plain(),
            dict(self.marks),
            self.timestamp,
            self.voids,
            dict(self.queues),
            content,
        )

    def mark(self, captured: Captured) -> None:
        """What was captured has to be captured again."""
        self._changed |= captured.content.keys()

    def cool(self, blobs: Mapping[bytes, bytes]) -> None:
        """Keep aggregates as they were frozen, unless something happened to them since, or they want something."""
        for key, blob in blobs.items():
            if key not in self._changed and not any(place in self.intents for place in self._places(key)):
                for slot in self._slots(key):
                    self.states.pop(slot, None)
                self.decided.pop(key, None)
                self.cold[key] = blob

    def resume(
        self,
        next_offset: int,
        inbound: list[tuple[Any, ...]],
        marks: dict[bytes, ReactionPlace],
        timestamp: int,
        voids: int,
        queues: dict[bytes, Queue],
        cold: dict[bytes, bytes],
        open_: Iterable[bytes],
    ) -> None:
        """Go on where a snapshot was taken, as if everything before had been folded."""
        self.next_offset, self.timestamp, self.voids = next_offset, timestamp, voids
        self.inbound, self.marks = Inbound.of(inbound), marks
        self.queues, self.cold = queues, cold
        for key in open_:
            self.thaw([key])

    def _slots(self, key: bytes) -> list[bytes]:
        """Where the states of a key are."""
        return [kind.prefix + key for kind in self.kinds]

    def _places(self, key: bytes) -> list[bytes]:
        """Where the intents of a key are."""
        return [slot + suffix for slot in self._slots(key) for suffix in (PENDING, DUE)]


def kinds_of(context: Context) -> list[Kind]:
    """The kinds of aggregates of a context.

    Aggregates of different kinds may have the same id, so all kinds but the first put their name before it.
    """
    return [_kind(a, f"{a.name}\0".encode() if number else b"") for number, a in enumerate(context.aggregates)]


def _kind(a: Aggregate, prefix: bytes) -> Kind:
    return Kind(prefix, a.initial, a.decide, a.evolve, wants_of(a), a.commands, a.events)
