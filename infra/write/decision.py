"""What the next commands of a partition would add to its log. Pure: no IO, no clock.

A decision is made on top of the aggregates, which it only reads: what it changes is copied on write, and thrown away unless
the log accepts its records. What cannot be processed is answered and kept, what belongs to another partition is forwarded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from math import inf
from typing import Any

from infra.errors import Unreadable
from infra.messages import REUSED_CODE, RUNTIME, Discard, Discarded, Parked, Refused, Rejected
from infra.model.context import Context
from infra.wire.envelope import (
    DIGEST,
    DUE_OF,
    OUTCOME_OF,
    CommandName,
    CommandPart,
    EventEnvelope,
    ReactionPlace,
    Way,
    held_against,
    marked,
)
from infra.wire.inbound import Decided
from infra.wire.inbox import Command, CommandReader, Posted
from infra.wire.limits import MAX_BATCH_BYTES, MAX_KEY, MAX_REASON, MAX_TYPE, MAX_WAITING
from infra.wire.record import Header, Outgoing, Record
from infra.write.aggregates import NOWHERE, Aggregates, Changes, Kind, KnownCommand, Seen
from infra.write.intents import DUE, PENDING, Intent, moment, told_elsewhere
from infra.write.parking import Queue, behind, dead_letter, failed, queue_after, rejected, shown

WINDOW = 800  # commands decided, coded and appended together
REUSED_ID = Refused(code=REUSED_CODE, reason="another command was decided under this id: ask again under a new one")
TOO_MANY_WAIT = Refused(
    code="too_many_wait",
    reason=f"{MAX_WAITING} commands wait behind one of this key that could not be processed: ask again",
)
NOTHING_TO_DO = Refused(code="nothing_to_do", reason="the state already says so, or no longer allows it")


# An event that is to be recorded, not coded yet: its key, itself, its headers, its time in milliseconds. One is made for every
# command, so it is a tuple without a name.
NewEvent = tuple[bytes | None, Any, tuple[Header, ...], int]


_new: Any = tuple.__new__  # as in infra/wire/envelope.py


class Standing(Enum):
    """What a command is, held against those decided before."""

    NEW = auto()
    DUPLICATE = auto()
    REUSED = auto()
    LATE = auto()  # it waited, and what it answers is not open any more
    EARLY = auto()  # its moment has not come


NEW, DUPLICATE, REUSED, LATE, EARLY = Standing


@dataclass(frozen=True, slots=True)
class Asked:
    """The next commands that are not answered, read once; `end` is the first record behind them."""

    way: Way
    posted: Sequence[Posted]
    end: int


@dataclass(slots=True, kw_only=True)
class Decision(Changes):
    """What a run of commands would add to the log from offset `expected` on, and what must be safe before that.

    `next` is the first record that is not decided, `passed` the last that leaves an event; `size` bounds the bytes of the
    records. `early` are the deadlines that somebody's clock called before their moment, each with when that was (ms).
    """

    expected: int
    next: int
    events: list[NewEvent] = field(default_factory=list)
    records: list[Outgoing] = field(default_factory=list)
    forwards: list[Posted] = field(default_factory=list)
    dead: list[Outgoing] = field(default_factory=list)
    early: list[tuple[Intent, int]] = field(default_factory=list)
    passed: Posted | None = None
    size: int = 0


class CommandHandler:
    """Decides the commands of one partition; `commands` by the way they may come, if it is not what the context says."""

    def __init__(self, aggregates: Aggregates, commands: Mapping[Way, tuple[type, ...]] | None = None) -> None:
        context, codec = aggregates.context, aggregates.codec
        self._aggregates = aggregates
        self._codec = codec
        self._reader = CommandReader(context.name, commands or ways(context), aggregates.partitions, codec)
        self._own_topic = context.own_topic
        self._kinds = {command: kind for kind in aggregates.kinds for command in kind.commands}
        self._event_names = {t: codec.names[t].encode() for t in (*context.events, *RUNTIME)}
        names = [codec.names[t] for t in self._event_names]
        self._envelope = EventEnvelope(context.name, context.events_topic, aggregates.number, names)

    def read(self, records: Sequence[Record], start: int = 0, latest: float = inf) -> Asked:
        """The next commands in `records[start:]`, of one topic: as many as may be decided together.

        A broker that says a time later than `latest` (ms) has a clock that is wrong, and is not believed.
        """
        way = Way.OWN if records and records[0].topic == self._own_topic else Way.COMMANDS
        while start < len(records) and records[start].offset < self._aggregates.cursors[way]:
            start += 1  # answered in the log
        posted = self._reader.read(records[start : start + WINDOW], way, latest)
        return Asked(way, posted, start + len(posted))

    def about(self, asked: Asked) -> tuple[set[bytes], list[KnownCommand]]:
        """Of which aggregates, by slot, and of which commands a decision has to know."""
        slots: set[bytes] = set()
        names: list[KnownCommand] = []
        for posted in asked.posted:
            key, number, command = posted.key, posted.partition, posted.command
            if key is not None and number == self._aggregates.number:
                names.append((key, posted.name))
                if isinstance(command, Command):
                    slots.add(self._kinds[type(command.payload)].prefix + key)
                if key in self._aggregates.unread:
                    slots.update(self._aggregates.slots_of(key))
        return slots, names

    def decide(self, asked: Asked) -> Decision:
        """Decide commands, all that they are `about` being at hand, as far as one batch holds; `Decision.next` says how far."""
        posted, count = asked.posted, len(asked.posted)
        start = asked.end - count
        self._aggregates.settle(p.key for p in posted if p.key is not None)
        while True:
            decision = self._speculate(posted[:count], asked.way, start + count)
            problem = self._code(decision)
            if problem is None:
                return decision
            if count == 1:
                return self._unrecordable(posted[0], start + 1, problem)
            count //= 2

    def _nothing(self, way: Way, end: int) -> Decision:
        """What is decided before anything is."""
        a = self._aggregates
        return Decision(way, a.next_offset, a.cursors[way], a.timestamp, expected=a.next_offset, next=end)

    def _speculate(self, posted: Sequence[Posted], way: Way, end: int) -> Decision:
        """The decision on what was posted, its events not coded yet."""
        decision = self._nothing(way, end)
        for command in posted:
            self._decide_on(command, decision)
        _conclude(decision)
        return decision

    def _code(self, decision: Decision) -> str | None:
        """Make the records of a decision; or say why they are not to be appended together."""
        try:
            values = self._codec.encode_many([event for _, event, _, _ in decision.events])
        except (ValueError, TypeError, OverflowError) as error:
            return f"what follows from it cannot be recorded: {error}"
        size = decision.size + sum(map(len, values))
        if size > MAX_BATCH_BYTES:
            return f"its events need {size} bytes, the limit is {MAX_BATCH_BYTES}"
        decision.size = size
        decision.records = [
            _new(Outgoing, (key, value, headers, at))
            for (key, _, headers, at), value in zip(decision.events, values, strict=True)
        ]
        return None

    def _unrecordable(self, posted: Posted, end: int, problem: str) -> Decision:
        """The decision on a command that is too much on its own."""
        decision, why = self._nothing(posted.way, end), Unreadable("unrecordable", problem)
        self._answer(posted, self._rejected(posted, why), why, decision)
        _conclude(decision)
        unsaid = self._code(decision)
        assert unsaid is None, "an answer has a bound"
        return decision

    def _decide_on(self, posted: Posted, decision: Decision) -> None:
        """Add one command's events, answer or forwarding to the decision.

        While one of its key could not be processed, the later ones wait in line behind it.
        """
        if posted.partition != self._aggregates.number:
            decision.forwards.append(posted)
            return
        key, queue, why = posted.key, self._queue(posted.key, decision), posted.command
        waits = self._waits(posted, queue)
        if key is None:
            standing = NEW
        elif queue and not waits:
            standing = self._standing_of_head(key, posted, decision)
        else:
            standing = self._standing(key, posted, decision)
        if isinstance(why, Discard):
            if key is not None and posted.name in queue:
                self._answer(replace(posted, identity=None), Discarded(reason=why.reason[:MAX_REASON]), None, decision)
                decision.decided[key, posted.name] = Seen(decision.timestamp, None)
        elif standing is REUSED:
            self._answer(posted, REUSED_ID, None, decision)
        elif standing is NEW and isinstance(why, Unreadable) and not self._rejected(posted, why).blocks:
            self._answer(posted, self._rejected(posted, why), why, decision)
        elif waits and len(queue) >= MAX_WAITING and posted.way is Way.COMMANDS and posted.name not in queue:
            self._answer(posted, TOO_MANY_WAIT, None, decision)
        elif waits:
            if standing is NEW and posted.name not in queue:
                self._answer(posted, Parked(behind=shown(queue[0])), behind(queue[0]), decision)
        elif standing is NEW and isinstance(why, Unreadable):
            self._answer(posted, self._rejected(posted, why), why, decision)
        elif standing in (NEW, LATE) and key is not None and isinstance(why, Command):
            self._apply(key, posted, why, standing, decision)

    def _waits(self, posted: Posted, queue: Queue) -> bool:
        """Whether it is not the turn of this one among those of its key."""
        return bool(queue) and queue[0] != posted.name

    # -- what was decided before, here or in the log

    def _queue(self, key: bytes | None, decision: Decision) -> Queue:
        if key is None:
            return ()
        return decision.queues[key] if key in decision.queues else self._aggregates.queues.get(key, ())

    def _standing(self, key: bytes, posted: Posted, decision: Decision) -> Standing:
        """Whether a command is new, was decided before, or has the id of another one."""
        seen = self._seen(key, posted.name, decision)
        if seen is not None:
            is_same = seen.digest is None or posted.identity == (DIGEST, seen.digest)
            return DUPLICATE if is_same else REUSED
        if posted.way is Way.OWN and posted.identity:
            if self._is_over(key, posted, posted.identity, decision):
                return DUPLICATE
            if self._is_early(key, posted, posted.identity, decision):
                return EARLY
        return NEW

    def _standing_of_head(self, key: bytes, posted: Posted, decision: Decision) -> Standing:
        """The one its key waits for counts, whatever was decided since; but an answer only to what is still open.

        That is answered too, so that the next one is the head. A mark says nothing here: others have moved it since.
        """
        identity = posted.identity
        if identity and identity[0] in (OUTCOME_OF, DUE_OF) and self._is_over(key, posted, identity, decision):
            return LATE
        return NEW

    def _seen(self, key: bytes, name: CommandName, decision: Decision) -> Seen | None:
        return decision.decided.get((key, name)) or self._aggregates.seen(key, name)

    def _is_over(self, key: bytes, posted: Posted, identity: Header, decision: Decision) -> bool:
        """Whether a reaction is not above the mark of its source, or what an answer is for is not open any more."""
        name, value = identity
        if posted.reaction:
            places = [(mark, place) for source, place in posted.reaction for mark in held_against(source)]
            return any(place <= self._mark(mark, decision) for mark, place in places)
        if not isinstance(posted.command, Command):
            return False
        intent = self._answered(key, posted.command, name, decision)
        return intent is None or intent.key.encode() != value

    def _is_early(self, key: bytes, posted: Posted, identity: Header, decision: Decision) -> bool:
        """Whether this is a deadline that was called before its moment: by the log's broker, not by the caller's clock."""
        if identity[0] != DUE_OF or not isinstance(posted.command, Command):
            return False
        intent = self._answered(key, posted.command, DUE_OF, decision)
        if intent is None or posted.appended >= moment(intent):
            return False
        decision.early.append((intent, posted.appended))
        return True

    def _answered(self, key: bytes, command: Command, name: str, decision: Decision) -> Intent | None:
        """What is open where an outcome, or a deadline, says that it answers."""
        where = self._kinds[type(command.payload)].prefix + key + (PENDING if name == OUTCOME_OF else DUE)
        return decision.intents[where] if where in decision.intents else self._aggregates.intents.get(where)

    # -- what is processed

    def _apply(self, key: bytes, posted: Posted, command: Command, standing: Standing, decision: Decision) -> None:
        """Add the events of a command, the state they lead to, and what that wants; or that its decider failed."""
        kind, at = self._kinds[type(command.payload)], max(posted.at, decision.timestamp)
        slot = kind.prefix + key
        before = decision.states[slot] if slot in decision.states else self._aggregates.states.get(slot, kind.initial)
        try:
            steps, state = ([], before) if standing is LATE else _steps(kind, key.decode(), command.payload, before)
        except Unreadable as error:
            self._answer(posted, self._rejected(posted, error), error, decision)
            return
        if queue := self._queue(key, decision):
            decision.queues[key] = queue_after(queue, None, posted.name)
        if state is not before or any(wishes for _, wishes in steps):  # an intent is written with its state
            decision.states[slot] = state
        if (name := posted.remembered_as) is not None:
            decision.decided[key, name] = _new(Seen, (at, posted.identity[1] if posted.identity else None))
        self._pass(posted, at, decision)
        shared = self._envelope.command_part(
            key,
            posted.id,
            command.correlation,
            posted.way,
            posted.record.offset,
            command.type,
            posted.identity,
            command.trace,
            _disbelieved(posted, at),
        )
        for event, wishes in steps or [(NOTHING_TO_DO, ())]:
            self._record(key, event, shared, at, decision)
            for wanted, want in zip(wishes, kind.wants, strict=False):
                self._want(wanted, slot + want.suffix, command.correlation, at, decision)

    def _pass(self, posted: Posted, at: int, decision: Decision) -> None:
        """Time, the command and the reaction it was are behind us."""
        decision.timestamp, decision.cursor = at, posted.record.offset + 1
        decision.passed = posted
        if posted.reaction:
            source, place = posted.reaction[0]
            decision.marks |= {mark: max(place, self._mark(mark, decision)) for mark in marked(source)}

    def _mark(self, source: bytes, decision: Decision) -> ReactionPlace:
        return decision.marks.get(source) or self._aggregates.marks.get(source, NOWHERE)

    def _record(self, key: bytes | None, event: Any, shared: CommandPart, at: int, decision: Decision) -> None:
        headers = self._envelope.headers(shared, self._event_names[type(event)], decision.next_offset)
        decision.events.append((key, event, headers, at))
        decision.next_offset += 1
        decision.size += shared.size

    def _want(self, wanted: Any, place: bytes, correlation: bytes, at: int, decision: Decision) -> None:
        """Open, keep or close the intent at a place, because of the event that was recorded last."""
        intent = decision.intents[place] if place in decision.intents else self._aggregates.intents.get(place)
        if wanted is None:
            if intent is not None:
                decision.intents[place] = None
        elif intent is None or intent.wanted != wanted:
            key, number = self._aggregates.event_id(decision.next_offset - 1), self._aggregates.number
            decision.intents[place] = Intent(key, number, place, wanted, correlation.decode(errors="replace"), at)

    # -- what is not

    def _rejected(self, posted: Posted, why: Unreadable) -> Rejected:
        return rejected(posted.name, why)

    def _answer(self, posted: Posted, event: Any, why: Unreadable | None, decision: Decision) -> None:
        """Answer a command that is not processed; `why` it is kept, unless it was kept before."""
        record, key, queue = posted.record, posted.key, self._queue(posted.key, decision)
        if why is not None and posted.name not in queue:
            decision.dead.append(dead_letter(record, why, may_name=posted.may_name))
        if key is not None:
            decision.queues[key] = queue_after(queue, event, posted.name)
        self._pass(posted, max(posted.at, decision.timestamp), decision)
        short = record.key if record.key and len(record.key) <= MAX_KEY else None
        type_ = (posted.type or b"?")[:MAX_TYPE]
        shared = self._envelope.command_part(
            short or b"",
            posted.id,
            posted.id,
            posted.way,
            record.offset,
            type_,
            posted.identity,
            None,
            _disbelieved(posted, decision.timestamp),
        )
        self._record(short, event, shared, decision.timestamp, decision)


def _conclude(decision: Decision) -> None:
    if (last := decision.passed) is not None:
        at = max(decision.timestamp, last.record.timestamp)
        decision.last = Decided(last.record.offset, last.id, last.identity, at)


def _disbelieved(posted: Posted, at: int) -> int | None:
    """When the broker says that a command came, if its events are recorded as earlier: by that it is recognised."""
    return posted.record.timestamp if posted.record.timestamp > at else None


def ways(context: Context) -> dict[Way, tuple[type, ...]]:
    """What a context may be asked by each way."""
    return {Way.COMMANDS: context.asked, Way.OWN: context.own}


def _steps(kind: Kind, key: str, command: Any, state: Any) -> tuple[list[tuple[Any, Sequence[Any]]], Any]:
    """What a command leads to: each event with what the state after it wants, and the last state. Unreadable if that fails."""
    steps: list[tuple[Any, Sequence[Any]]] = []
    try:
        for event in kind.decide(command, state):
            if type(event) is Refused:
                steps.append((event, ()))
            else:
                state = kind.evolve(state, event)
                wishes = [want.of(key, state) for want in kind.wants]
                for wanted in wishes:
                    if why := told_elsewhere(wanted, key, kind.commands):
                        raise ValueError(why)
                steps.append((event, wishes))
    except Exception as error:
        raise failed(error) from error
    return steps, state
