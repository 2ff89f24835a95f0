"""What the next commands of a partition would add to its log. Pure: no IO, no clock.

A decision is made on top of the aggregates, which it only reads: what it changes is copied on write, and thrown away unless
the log accepts its records. What cannot be processed is answered and kept, what belongs to another partition is forwarded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.errors import Unreadable
from infra.messages import RUNTIME, Discarded, Parked, Refused, Rejected
from infra.wire.envelope import ID, TYPE, CommandPart, EventEnvelope
from infra.wire.record import MAX_BATCH_BYTES, Header, HeaderMap, Outgoing, Record, partition_of, with_header
from infra.wire.sealing import personal
from infra.write.aggregates import Aggregates, Changes, Kind
from infra.write.inbox import Command, CommandReader, asked_at, command_id, json_field
from infra.write.intents import Intent
from infra.write.parking import DISCARD, MAX_KEY, Queue, behind, blocking_key, dead_letter, failed, queue_after

WINDOW = 800  # commands decided, coded and appended together
MAX_REASON = 1000  # characters of an answer
MAX_TYPE = 255  # bytes of what a stranger calls his command
NOTHING_TO_DO = Refused(code="nothing_to_do", reason="the state already says so, or no longer allows it")


@dataclass(slots=True)
class NewEvent:
    """An event that is to be recorded, not coded yet; `at` is in milliseconds."""

    key: bytes | None
    event: Any
    headers: tuple[Header, ...]
    at: int


@dataclass(slots=True, kw_only=True)
class Decision(Changes):
    """What a run of commands would add to the log from offset `expected` on, and what must be safe before that.

    `next` is the first record that is not decided, `size` bounds the bytes of the records.
    """

    expected: int
    next: int
    events: list[NewEvent] = field(default_factory=list)
    records: list[Outgoing] = field(default_factory=list)
    forwards: list[tuple[int, Outgoing]] = field(default_factory=list)
    dead: list[Outgoing] = field(default_factory=list)
    size: int = 0


class CommandHandler:
    """Decides the commands of one partition."""

    def __init__(self, aggregates: Aggregates) -> None:
        context, codec = aggregates.context, aggregates.codec
        self._aggregates = aggregates
        self._codec = codec
        self._read = CommandReader(context, codec).read
        self._kinds = {command: kind for kind in aggregates.kinds for command in kind.commands}
        self._event_names = {t: codec.names[t].encode() for t in (*context.events, *RUNTIME)}
        names = [codec.names[t] for t in self._event_names]
        self._envelope = EventEnvelope(context.name, context.events_topic, aggregates.number, names)
        self._about_persons = any(personal(codec.schemas[codec.names[t]]) for t in context.commands)

    def decide(self, records: Sequence[Record], start: int = 0) -> Decision:
        """Decide the commands in `records[start:]` as far as one batch holds; `Decision.next` says how far."""
        count = min(WINDOW, len(records) - start)
        while True:
            decision = self._speculate(records, start, start + count)
            problem = self._code(decision)
            if problem is None:
                return decision
            if count == 1:
                return self._unrecordable(records[start], start + 1, problem)
            count //= 2

    def _nothing(self, end: int) -> Decision:
        """What is decided before anything is."""
        a = self._aggregates
        return Decision(a.next_offset, a.cursor, a.timestamp, expected=a.next_offset, next=end)

    def _speculate(self, records: Sequence[Record], start: int, end: int) -> Decision:
        """The decision on `records[start:end]`, its events not coded yet."""
        decision = self._nothing(end)
        window = [record for record in records[start:end] if record.offset >= decision.cursor]
        messages = self._codec.decode_many([record.value for record in window])
        for record, message in zip(window, messages, strict=True):
            self._decide_one(record, message, decision)
        return decision

    def _code(self, decision: Decision) -> str | None:
        """Make the records of a decision; or say why they are not to be appended together."""
        try:
            values = self._codec.encode_many([new.event for new in decision.events])
        except (ValueError, TypeError, OverflowError) as error:
            return f"what follows from it cannot be recorded: {error}"
        size = decision.size + sum(map(len, values))
        if size > MAX_BATCH_BYTES:
            return f"its events need {size} bytes, the limit is {MAX_BATCH_BYTES}"
        decision.size = size
        decision.records = [
            Outgoing(new.key, value, new.headers, new.at) for new, value in zip(decision.events, values, strict=True)
        ]
        return None

    def _unrecordable(self, record: Record, end: int, problem: str) -> Decision:
        """The decision on a command that is too much on its own."""
        decision, why = self._nothing(end), Unreadable("unrecordable", problem)
        self._answer(record, dict(record.headers), _rejected(why), why, decision)
        unsaid = self._code(decision)
        assert unsaid is None, "an answer has a bound"
        return decision

    def _decide_one(self, record: Record, message: Any, decision: Decision) -> None:
        """Add one command's events, answer or forwarding to the decision."""
        headers = dict(record.headers)
        key = blocking_key(record.key)
        if key is not None:
            target = partition_of(key, self._aggregates.partitions)
            if target != self._aggregates.number:
                identified = with_header(record.headers, ID, command_id(record, headers))
                decision.forwards.append((target, Outgoing(record.key, record.value, identified)))
                return
            self._aggregates.thaw(key)
            queue = self._queue(key, decision)
            if (queue or headers.get(TYPE) == DISCARD) and self._waits(record, headers, key, queue, decision):
                return
            if self._is_decided(key, command_id(record, headers), decision):
                return
        try:
            self._apply(self._read(record, headers, message), decision)
        except Unreadable as error:
            self._answer(record, headers, _rejected(error), error, decision)

    # -- what was decided before, here or in the log

    def _queue(self, key: bytes, decision: Decision) -> Queue:
        return decision.queues[key] if key in decision.queues else self._aggregates.queues.get(key, ())

    def _is_decided(self, key: bytes, identity: bytes, decision: Decision) -> bool:
        return (key, identity) in decision.decided or self._aggregates.is_decided(key, identity)

    # -- what is processed

    def _apply(self, command: Command, decision: Decision) -> None:
        """Add the events of a command, the state they lead to, and what that wants."""
        key, kind, at = command.key, self._kinds[type(command.payload)], max(command.at, decision.timestamp)
        slot = kind.prefix + key
        before = decision.states[slot] if slot in decision.states else self._aggregates.states.get(slot, kind.initial)
        steps, state = _steps(kind, command, before)
        shared = self._envelope.command_part(
            key, command.id, command.correlation, command.offset, command.type, command.trace
        )
        for event, wishes in steps or [(NOTHING_TO_DO, ())]:
            self._record(key, event, shared, at, decision)
            for wanted, want in zip(wishes, kind.wants, strict=False):
                self._want(wanted, slot + want.suffix, command, at, decision)
        if queue := self._queue(key, decision):
            decision.queues[key] = queue_after(queue, None, command.id)
        if state is not before:
            decision.states[slot] = state
        decision.timestamp, decision.cursor = at, command.offset + 1
        decision.decided[key, command.id] = at

    def _record(self, key: bytes | None, event: Any, shared: CommandPart, at: int, decision: Decision) -> None:
        headers = self._envelope.headers(shared, self._event_names[type(event)], decision.next_offset)
        decision.events.append(NewEvent(key, event, headers, at))
        decision.next_offset += 1
        decision.size += shared.size

    def _want(self, wanted: Any, place: bytes, command: Command, at: int, decision: Decision) -> None:
        """Open, keep or close the intent at a place, because of the event that was recorded last."""
        intent = decision.intents[place] if place in decision.intents else self._aggregates.intents.get(place)
        if wanted is None:
            if intent is not None:
                decision.intents[place] = None
        elif intent is None or intent.wanted != wanted:
            key, correlation = self._aggregates.event_id(decision.next_offset - 1), command.correlation
            number = self._aggregates.number
            decision.intents[place] = Intent(key, number, place, wanted, correlation.decode(errors="replace"), at)

    # -- what is not

    def _waits(self, record: Record, headers: HeaderMap, key: bytes, queue: Queue, decision: Decision) -> bool:
        """Whether a command of this key is not to be processed now: it waits in line, or it asks to discard one that does."""
        identity = command_id(record, headers)
        if headers.get(TYPE) == DISCARD:
            if identity in queue:
                reason = json_field(record.value or b"", "reason")
                self._answer(record, headers, Discarded(reason=reason[:MAX_REASON]), None, decision)
                decision.decided[key, identity] = decision.timestamp
            return True
        if queue[0] == identity:
            return False
        if identity not in queue and not self._is_decided(key, identity, decision):
            waiting = Parked(behind=queue[0].decode(errors="replace"))
            self._answer(record, headers, waiting, behind(queue[0]), decision)
        return True

    def _answer(
        self, record: Record, headers: HeaderMap, event: Any, why: Unreadable | None, decision: Decision
    ) -> None:
        """Answer a command that is not processed; `why` it is kept, unless it was kept before."""
        identity, type_ = command_id(record, headers), (headers.get(TYPE) or b"?")[:MAX_TYPE]
        key = record.key if record.key and len(record.key) <= MAX_KEY else None
        decision.timestamp = max(_asked_at(record, headers), decision.timestamp)
        shared = self._envelope.command_part(key or b"", identity, identity, record.offset, type_)
        self._record(key, event, shared, decision.timestamp, decision)
        decision.cursor = record.offset + 1
        queue: Queue = ()
        if key is not None and key == blocking_key(key):
            queue = self._queue(key, decision)
            decision.queues[key] = queue_after(queue, event, identity)
        if why is not None and identity not in queue:
            decision.dead.append(dead_letter(record, self._without_names(record, why)))

    def _without_names(self, record: Record, why: Unreadable) -> Unreadable:
        """Nobody can say what is in a text that cannot be read: in a context about persons it may name one in plain."""
        if self._about_persons and (record.value or b"")[:1] == b"{":
            return Unreadable(why.code, why.reason, personal=True)
        return why


def _steps(kind: Kind, command: Command, state: Any) -> tuple[list[tuple[Any, Sequence[Any]]], Any]:
    """What a command leads to: each event with what the state after it wants, and the last state. Unreadable if that fails."""
    steps: list[tuple[Any, Sequence[Any]]] = []
    key = command.key.decode()
    try:
        for event in kind.decide(command.payload, state):
            if type(event) is Refused:
                steps.append((event, ()))
            else:
                state = kind.evolve(state, event)
                steps.append((event, [want.of(key, state) for want in kind.wants]))
    except Exception as error:
        raise failed(error) from error
    return steps, state


def _asked_at(record: Record, headers: HeaderMap) -> int:
    """As of a command that can be read; its cause's time may be why this one cannot."""
    try:
        return asked_at(record, headers)
    except Unreadable:
        return record.timestamp


def _rejected(why: Unreadable) -> Rejected:
    return Rejected(code=why.code, reason=why.reason[:MAX_REASON])
