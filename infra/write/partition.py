"""One partition of a context's log, folded; and what the next commands would add to it. Pure: no IO, no clock.

The state is a fold of the accepted records from offset 0. `decide` speculates on a copy-on-write overlay, `merge` makes
the speculation the state once the log has accepted it, and otherwise it is dropped and `fold` catches up.
"""

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from infra.errors import LogMoved, Unreadable
from infra.messages import LOG_KEEPING, RUNTIME, Discarded, Moved, Opened, Parked, Refused, Rejected
from infra.model.context import Aggregate, Context
from infra.wire.avro import Codec
from infra.wire.envelope import ID, TYPE, CommandPart, EventEnvelope, EventRecord, event_record, is_accepted
from infra.wire.record import MAX_BATCH_BYTES, Header, Outgoing, Record, partition_of, unreadable, with_header
from infra.wire.sealing import personal
from infra.write.inbox import Command, CommandReader, command_id, json_field
from infra.write.parking import DISCARD, MAX_KEY, Queue, behind, blocking_key, dead_letter, failed, queue_after

PENDING, DUE = b"\0pending", b"\0due"  # after the place of a state: what it wants of the outside, and of the clock
WINDOW = 800  # commands decided, coded and appended together
Want = Callable[[str, Any], Any]
# what a state wants, its key, the state, and of the event that led to it: offset or id, time, correlation
Step = tuple[list[tuple[Want, bytes]], bytes, Any, int | bytes, int, bytes]
NOTHING_TO_DO = Refused(code="nothing_to_do", reason="the state already says so, or no longer allows it")


@dataclass(frozen=True, slots=True)
class Intent:
    """Something a state wants of the outside, or of the clock (a Due); `key` is the id of the event that opened it."""

    key: str
    partition: int
    place: bytes  # in Partition.intents
    wanted: Any
    correlation: str
    at: int


@dataclass(slots=True)
class Decision:
    """What a run of commands would add to the log from offset `expected` on, and what must be safe before that."""

    expected: int
    timestamp: int
    next: int = 0
    records: list[Outgoing] = field(default_factory=list)
    events: list[tuple[bytes | None, Any, tuple[Header, ...], int]] = field(default_factory=list)
    forwards: list[tuple[int, Outgoing]] = field(default_factory=list)
    dead: list[Outgoing] = field(default_factory=list)
    states: dict[bytes, Any] = field(default_factory=dict)
    decided: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    queues: dict[bytes, Queue] = field(default_factory=dict)
    intents: dict[bytes, Intent | None] = field(default_factory=dict)
    cursor: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Captured:
    """A partition as of one offset: of each key that changed its states, decided command ids and open intents."""

    next_offset: int
    cursor: int
    timestamp: int
    voids: int
    queues: dict[bytes, Queue]
    content: dict[bytes, tuple[dict[bytes, Any], dict[bytes, int], dict[bytes, Intent]]]


class Partition:
    """The folded state of one events partition and the decisions on top of it."""

    def __init__(self, context: Context, codec: Codec, number: int, partitions: int, dedupe_ms: int) -> None:
        self.context = context
        self.number = number
        self.partitions = partitions
        self.next_offset = 0
        self.cursor = 0
        self.timestamp = 0
        self.states: dict[bytes, Any] = {}
        self.decided: dict[bytes, dict[bytes, int]] = {}  # key: command id: time
        self.unread: dict[bytes, list[EventRecord]] = {}  # accepted events by key that are not folded yet
        self.cold: dict[bytes, bytes] = {}  # aggregates as a snapshot has them, by key, until they are needed
        self.intents: dict[bytes, Intent] = {}
        self.queues: dict[bytes, Queue] = {}
        self.voids = 0
        self._opened: dict[bytes, Intent] = {}
        self._changed: set[bytes] = set()  # keys, since the last snapshot
        self._aggregates = _aggregates(context)
        self._prefixes = sorted({prefix for prefix, _, _ in self._aggregates.values()})
        self._codec = codec
        self._read = CommandReader(context, codec).read
        self._dedupe_ms = dedupe_ms
        self._about_persons = any(personal(codec.schemas[codec.names[t]]) for t in context.commands)
        self._kept = {codec.prefix_of(t) for t in (Rejected, Parked, Discarded, *LOG_KEEPING)}
        self._event_names = {t: codec.names[t].encode() for t in (*context.events, *RUNTIME)}
        names = [codec.names[t] for t in self._event_names]
        self._envelope = EventEnvelope(context.name, context.events_topic, number, names)

    def _event_id(self, place: int | bytes) -> str:
        return place.decode() if isinstance(place, bytes) else f"{self.context.events_topic}/{self.number}/{place}"

    # -- the past

    def fold(self, records: Iterable[Record]) -> None:
        """Take in the next records of the events partition; void ones only move the offset."""
        found = [record for record in records if record.offset >= self.next_offset]
        if not found:
            return
        self.next_offset = found[-1].offset + 1
        counted = [record for record in found if is_accepted(record)]
        self.voids += len(found) - len(counted)
        self._fold_all([event_record(record) for record in counted])

    def take(self, records: Iterable[Record]) -> None:
        """Take in the next records as `fold` does, and leave each aggregate's until it is needed, or `settle` comes to it.

        A partition is ready to decide once it has taken its log in; the intents of what is not folded yet are not open yet.
        """
        found = [record for record in records if record.offset >= self.next_offset]
        if not found:
            return
        self.next_offset = found[-1].offset + 1
        unread, queues, kept = self.unread, self.queues, self._kept
        one: EventRecord | None = None
        for record in found:
            if not is_accepted(record):
                self.voids += 1
                continue
            one = event_record(record)
            key = one.key
            if key in unread and key not in queues and one.value[:5] not in kept:
                unread[key].append(one)
            elif key in queues or one.value[:5] in kept:
                self._thaw(key)
                self._fold_all([one])
            else:
                unread[key] = [one]
        if one is not None:
            self.timestamp, self.cursor = max(self.timestamp, one.at), max(self.cursor, one.command_offset + 1)

    def settle(self, keys: int) -> bool:
        """Fold what was taken of so many keys; whether there are more."""
        chosen = list(islice(self.unread, keys))
        self._fold_all([one for key in chosen for one in self.unread.pop(key)])
        return bool(self.unread)

    def _fold_all(self, accepted: Sequence[EventRecord]) -> None:
        """Fold accepted events: in order within each key, whichever keys they are of."""
        steps: dict[bytes, list[Step]] = {}
        for one, ready in zip(accepted, self._codec.decode_many([one.value for one in accepted]), strict=True):
            try:
                self._fold_one(one, ready, steps)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise unreadable(self._event_id(one.origin), error) from error
        for slot, found in steps.items():
            self._fold_wants(slot, found)

    def _fold_one(self, one: EventRecord, ready: Any, steps: dict[bytes, list[Step]]) -> None:
        """Fold one event; what its state wants is looked at once a slot and batch, from `steps`."""
        key, value, offset, at, command_id, command_offset, correlation = one
        if key in self.cold or key in self.unread:
            self._thaw(key)
        event = self._codec.decode(value) if ready is None else ready
        if at > self.timestamp:
            self.timestamp = at
        if command_offset >= self.cursor:
            self.cursor = command_offset + 1
        kind = type(event)
        if kind is Moved:
            raise LogMoved(
                f"{self.context.events_topic} was sealed and goes on in {event.to}: start again; if that does not help, "
                f"finish `weft topics grow {self.context.name} --partitions {event.partitions}`"
            )
        if kind is Opened:
            return
        if key in self.queues or kind in (Rejected, Parked):
            self._requeue(key, queue_after(self.queues.get(key, ()), event, command_id))
        if kind in (Rejected, Parked):
            return
        self._changed.add(key)
        if key in self.decided:
            self.decided[key][command_id] = at
        else:
            self.decided[key] = {command_id: at}
        if kind in RUNTIME:
            return
        prefix, aggregate, wants = self._aggregates[kind]
        slot = prefix + key
        state = self.states[slot] = aggregate.evolve(self.states.get(slot, aggregate.initial), event)
        if wants:
            step = (wants, key, state, offset, at, correlation)
            if slot in steps:
                steps[slot].append(step)
            else:
                steps[slot] = [step]

    def _fold_wants(self, slot: bytes, steps: list[Step]) -> None:
        """The intents after these steps of one slot: if the last state wants nothing, what others wanted is no matter."""
        wants, key, last, *_ = steps[-1]
        text_key = key.decode()
        for want, suffix in wants:
            place = slot + suffix
            if want(text_key, last) is None:
                if self.intents.pop(place, None):
                    self._opened.pop(place, None)
                continue
            for _, _, state, offset, at, correlation in steps:
                wanted, open_ = want(text_key, state), self.intents.get(place)
                if wanted is None:
                    self.intents.pop(place, None)
                elif open_ is None or open_.wanted != wanted:
                    opened = Intent(
                        self._event_id(offset), self.number, place, wanted, correlation.decode(errors="replace"), at
                    )
                    self.intents[place] = self._opened[place] = opened

    def _requeue(self, key: bytes, queue: Queue) -> None:
        if queue and key:
            self.queues[key] = queue
        else:
            self.queues.pop(key, None)

    def opened(self) -> list[Intent]:
        """The intents that folding or merging opened since this was last asked, and that are still open."""
        opened, self._opened = list(self._opened.values()), {}
        return opened

    def _queue(self, key: bytes, d: Decision) -> Queue:
        return d.queues[key] if key in d.queues else self.queues.get(key, ())

    def _is_decided(self, key: bytes, command_id: bytes, d: Decision) -> bool:
        """Whether a command of this id was decided within the window; the log's own time says what is too long ago."""
        at = self.decided.get(key, {}).get(command_id)
        return (at is not None and at >= self._horizon) or (key, command_id) in d.decided

    @property
    def _horizon(self) -> int:
        return self.timestamp - self._dedupe_ms

    # -- snapshots

    def capture(self) -> Captured:
        """What changed since this was last asked, to be frozen while the partition goes on."""
        horizon, changed = self._horizon, self._changed
        self._changed = set()
        content = {}
        for key in changed:
            slots = [prefix + key for prefix in self._prefixes]
            states = {slot: self.states[slot] for slot in slots if slot in self.states}
            ids = {i: at for i, at in self.decided.get(key, {}).items() if at >= horizon}
            places = (slot + suffix for slot in slots for suffix in (PENDING, DUE))
            content[key] = (states, ids, {place: self.intents[place] for place in places if place in self.intents})
        return Captured(self.next_offset, self.cursor, self.timestamp, self.voids, dict(self.queues), content)

    def mark(self, captured: Captured) -> None:
        """What was captured has to be captured again."""
        self._changed |= captured.content.keys()

    def cool(self, blobs: Mapping[bytes, bytes]) -> None:
        """Keep aggregates as they were frozen, unless something happened to them since, or they want something."""
        for key, blob in blobs.items():
            slots = [prefix + key for prefix in self._prefixes]
            if key not in self._changed and not any(s + x in self.intents for s in slots for x in (PENDING, DUE)):
                for slot in slots:
                    self.states.pop(slot, None)
                self.decided.pop(key, None)
                self.cold[key] = blob

    def resume(
        self,
        next_offset: int,
        cursor: int,
        timestamp: int,
        voids: int,
        queues: dict[bytes, Queue],
        cold: dict[bytes, bytes],
        open_: Iterable[bytes],
    ) -> None:
        """Go on where a snapshot was taken, as if everything before had been folded."""
        self.next_offset, self.cursor, self.timestamp, self.voids = next_offset, cursor, timestamp, voids
        self.queues, self.cold = queues, cold
        for key in open_:
            self._thaw(key)

    def _thaw(self, key: bytes) -> None:
        """Have an aggregate as it is now: from its snapshot, then from what was taken of the log since."""
        if key in self.cold:
            states, ids, intents = pickle.loads(self.cold.pop(key))  # noqa: S301 (our own snapshot)
            self.states |= states
            self.decided[key] = ids
            self.intents |= intents
            self._opened |= intents
        if key in self.unread:
            self._fold_all(self.unread.pop(key))

    # -- the next

    def decide(self, records: Sequence[Record], start: int = 0) -> Decision:
        """Decide the commands in `records[start:]` as far as one batch holds; `Decision.next` says how far."""
        count = min(WINDOW, len(records) - start)
        while True:
            d = self._speculate(records, start, start + count)
            if d is not None:
                return d
            count //= 2  # never to 0: a command that is too much on its own is rejected

    def _speculate(self, records: Sequence[Record], start: int, end: int) -> Decision | None:
        """The decision on `records[start:end]`; None if its events do not fit into one batch, or one cannot be recorded."""
        d = Decision(expected=self.next_offset, timestamp=self.timestamp, cursor=self.cursor, next=end)
        window = [record for record in records[start:end] if record.offset >= self.cursor]
        for record, ready in zip(window, self._codec.decode_many([record.value for record in window]), strict=True):
            self._decide_one(record, ready, d)
        try:
            values = self._codec.encode_many([event for _, event, _, _ in d.events])
            size = d.size + sum(map(len, values))
            problem = (
                f"its events need {size} bytes, the limit is {MAX_BATCH_BYTES}" if size > MAX_BATCH_BYTES else None
            )
        except (ValueError, TypeError, OverflowError) as error:
            problem = f"what follows from it cannot be recorded: {error}"
        if problem is None:
            d.size = size
            d.records = [
                Outgoing(key, value, headers, at) for (key, _, headers, at), value in zip(d.events, values, strict=True)
            ]
            return d
        if end - start > 1:
            return None
        alone = Decision(expected=self.next_offset, timestamp=self.timestamp, cursor=self.cursor, next=end)
        why = Unreadable("unrecordable", problem)
        rejected = Rejected(code=why.code, reason=why.reason)
        self._answer(records[start], dict(records[start].headers), rejected, why, alone)
        key, event, headers, at = alone.events[0]
        alone.records = [Outgoing(key, self._codec.encode(event), headers, at)]
        return alone

    def _decide_one(self, record: Record, ready: Any, d: Decision) -> None:
        """Add one command's events, answer or forwarding to the decision."""
        headers = dict(record.headers)
        key = blocking_key(record.key)
        if key is not None:
            if key in self.cold or key in self.unread:
                self._thaw(key)
            target = partition_of(key, self.partitions)
            if target != self.number:
                headers_out = with_header(record.headers, ID, command_id(record, headers))
                d.forwards.append((target, Outgoing(record.key, record.value, headers_out)))
                return
            queue = self._queue(key, d)
            if (queue or headers.get(TYPE) == DISCARD) and self._waits(record, headers, key, queue, d):
                return
        try:
            command = self._read(record, headers, ready)
            if not self._is_decided(command.key, command.id, d):
                self._append_decided(command, d)
        except Unreadable as error:
            self._answer(record, headers, Rejected(code=error.code, reason=error.reason[:1000]), error, d)

    def _waits(self, record: Record, headers: dict[str, bytes | None], key: bytes, queue: Queue, d: Decision) -> bool:
        """Whether a command of this key is not to be processed now: it waits in line, or it asks to discard one that does."""
        identity = command_id(record, headers)
        if headers.get(TYPE) == DISCARD:
            if identity in queue:
                reason = json_field(record.value or b"", "reason")
                self._answer(record, headers, Discarded(reason=reason[:1000]), None, d)
                d.decided[key, identity] = d.timestamp
            return True
        if queue[0] == identity:
            return False
        if identity not in queue and not self._is_decided(key, identity, d):
            why = behind(queue[0])
            self._answer(record, headers, Parked(behind=queue[0].decode(errors="replace")), why, d)
        return True

    def _append_decided(self, command: Command, d: Decision) -> None:
        key = command.key
        prefix, aggregate, wants = self._aggregates[type(command.payload)]
        slot = prefix + key
        state = before = d.states[slot] if slot in d.states else self.states.get(slot, aggregate.initial)
        timestamp = max(command.at, d.timestamp)
        shared = self._envelope.command_part(
            key, command.id, command.correlation, command.offset, command.type, command.trace
        )
        steps: list[tuple[Any, list[Any]]] = []
        try:
            for event in aggregate.decide(command.payload, state):
                if type(event) is Refused:
                    steps.append((event, []))
                else:
                    state = aggregate.evolve(state, event)
                    steps.append((event, [want(key.decode(), state) for want, _ in wants]))
        except Exception as error:
            raise failed(error) from error
        for event, wanted in steps or [(NOTHING_TO_DO, [])]:
            self._add(key, event, shared, timestamp, d)
            for wish, (_, suffix) in zip(wanted, wants, strict=False):
                self._want(wish, slot + suffix, command, timestamp, d)
        if queue := self._queue(key, d):
            d.queues[key] = queue_after(queue, None, command.id)
        if state is not before:
            d.states[slot] = state
        d.timestamp = timestamp
        d.decided[key, command.id] = timestamp
        d.cursor = command.offset + 1

    def _add(self, key: bytes | None, event: Any, shared: CommandPart, timestamp: int, d: Decision) -> None:
        headers = self._envelope.headers(shared, self._event_names[type(event)], d.expected + len(d.events))
        d.events.append((key, event, headers, timestamp))
        d.size += shared.size

    def _want(self, wanted: Any, place: bytes, command: Command, at: int, d: Decision) -> None:
        open_ = d.intents[place] if place in d.intents else self.intents.get(place)
        if wanted is None:
            if open_ is not None:
                d.intents[place] = None
        elif open_ is None or open_.wanted != wanted:
            identity = self._event_id(d.expected + len(d.events) - 1)
            correlation = command.correlation.decode(errors="replace")
            d.intents[place] = Intent(identity, self.number, place, wanted, correlation, at)

    def _answer(
        self, record: Record, headers: dict[str, bytes | None], event: Any, why: Unreadable | None, d: Decision
    ) -> None:
        """The answer to a command that is not processed; `why` it is kept, unless it was kept before."""
        identity = command_id(record, headers)
        key = record.key if record.key and len(record.key) <= MAX_KEY else None
        asked = (headers.get(TYPE) or b"?")[:255]
        d.timestamp = max(record.timestamp, d.timestamp)
        shared = self._envelope.command_part(key or b"", identity, identity, record.offset, asked)
        self._add(key, event, shared, d.timestamp, d)
        d.cursor = record.offset + 1
        queue: Queue = ()
        if key is not None and key == blocking_key(key):
            queue = self._queue(key, d)
            d.queues[key] = queue_after(queue, event, identity)
        if why is not None and identity not in queue:
            d.dead.append(dead_letter(record, self._without_names(record, why)))

    def _without_names(self, record: Record, why: Unreadable) -> Unreadable:
        """Nobody can say what is in a text that cannot be read: in a context about persons it may name one in plain."""
        if self._about_persons and (record.value or b"")[:1] == b"{":
            return Unreadable(why.code, why.reason, personal=True)
        return why

    def merge(self, d: Decision) -> None:
        """Make a decision the state, after the log accepted all of it."""
        for key, _ in d.decided:
            if key in self.cold:  # a snapshot froze it while the append was on its way
                self._thaw(key)
        self.next_offset = d.expected + len(d.records)
        self.timestamp = d.timestamp
        self.cursor = d.cursor
        self.states.update(d.states)
        for (key, identity), at in d.decided.items():
            self._changed.add(key)
            self.decided.setdefault(key, {})[identity] = at
        for key, queue in d.queues.items():
            self._requeue(key, queue)
        for place, intent in d.intents.items():
            if intent is None:
                self.intents.pop(place, None)
                self._opened.pop(place, None)
            else:
                self.intents[place] = self._opened[place] = intent


def _aggregates(context: Context) -> dict[type, tuple[bytes, Aggregate, list[tuple[Want, bytes]]]]:
    """For each message: where its kind of aggregate keeps its states, the kind, and what these states may want.

    Aggregates of different kinds may have the same id, so all kinds but the first put their name before it.
    """
    found: dict[type, tuple[bytes, Aggregate, list[tuple[Want, bytes]]]] = {}
    for number, aggregate in enumerate(context.aggregates):
        prefix = f"{aggregate.name}\0".encode() if number else b""
        functions = ((aggregate.pending, PENDING), (aggregate.due, DUE))
        wants = [(want, suffix) for want, suffix in functions if want is not None]
        for message in (*aggregate.commands, *aggregate.events):
            found[message] = (prefix, aggregate, wants)
    return found
