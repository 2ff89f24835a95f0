"""Each rule of the design, switched off: kinds of processes that break it, and the law that is seen to break then.

A rule whose absence nobody notices is not proved. The rules are those of DESIGN §2, §4, §6 and §8.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from infra.errors import Unknown, Unreadable
from infra.kafka.inbound import Seen, Unanswered
from infra.kafka.log import until_known
from infra.messages import Rejected
from infra.model.context import Attempt, Perform
from infra.testing.disk import Content, ProcessDisk
from infra.testing.node import Node, Port
from infra.wire.envelope import EXPECTED_OFFSET, ID, REACTION, Way, reaction_place
from infra.wire.inbox import DISCARD, Posted
from infra.wire.record import Header, Outgoing, Read, Record, with_header
from infra.write.agenda import Agenda
from infra.write.aggregates import Aggregates, Position, Unwritten
from infra.write.decision import CommandHandler, Decision, Standing
from infra.write.effects import EffectRunner, Target, Work
from infra.write.intents import CLOCK, Intent
from infra.write.lanes import Lanes, Place
from infra.write.layout import POSITION, behind, line_prefix
from infra.write.owner import Owner
from infra.write.parking import Queue
from infra.write.plain import value_of
from infra.write.state import State
from infra.write.watch import Watch
from infra.write.writer import Writer


@dataclass(frozen=True)
class Rule:
    """What is switched off, in which kind of process, and the law that breaks."""

    says: str
    without: type[Node]
    breaks: str


class CredulousPort(Port):
    """Every record looks as if it had landed where it was expected, also one's own."""

    async def read(self, partition: int, start: int, end: int) -> AsyncIterator[Sequence[Read]]:
        async for records in super().read(partition, start, end):
            yield [_believed(record) for record in records]

    async def append(self, partition: int, records: Sequence[Outgoing]) -> int:
        await super().append(partition, records)
        return _expected(records)


def _believed(record: Read) -> Read:
    if EXPECTED_OFFSET not in dict(record.headers):
        return record
    return record._replace(headers=with_header(record.headers, EXPECTED_OFFSET, b"%d" % record.offset))


def _expected(records: Sequence[Outgoing]) -> int:
    return int(dict(records[0].headers)[EXPECTED_OFFSET] or b"")


class Credulous(Node):
    port = CredulousPort


class TearingPort(Port):
    """A batch may land in part."""

    async def append(self, partition: int, records: Sequence[Outgoing]) -> int:
        if len(records) > 1 and self.unlucky(0.2):
            await super().append(partition, records[: self.dice.randint(1, len(records) - 1)])
            raise Unknown("torn")
        return await super().append(partition, records)


class Tearing(Node):
    port = TearingPort


class HopefulPort(Port):
    """What nobody knows is taken for a yes."""

    async def append(self, partition: int, records: Sequence[Outgoing]) -> int:
        try:
            return await super().append(partition, records)
        except Unknown:
            return _expected(records)


class Hopeful(Node):
    port = HopefulPort


class ForgetfulOwner(Owner):
    """Whoever recovers does not know which commands were decided."""

    forgets = "decided"

    async def assigned(self, numbers: Collection[int]) -> None:
        await super().assigned(numbers)
        for writer in self.writers.values():
            getattr(writer.aggregates, self.forgets).clear()


class ObliviousOwner(ForgetfulOwner):
    """Nor what is open."""

    forgets = "intents"


class LenientOwner(ForgetfulOwner):
    """Nor what waits."""

    forgets = "queues"


class Forgetful(Node):
    owner = ForgetfulOwner


class Oblivious(Node):
    owner = ObliviousOwner


class Lenient(Node):
    owner = LenientOwner


class HoardingWriter(Writer):
    """What was wanted once is wanted for ever."""

    async def handle(self, records: Sequence[Any]) -> None:
        intents = dict(self.aggregates.intents)
        await super().handle(records)
        self.aggregates.intents = intents | self.aggregates.intents


class HoardingOwner(Owner):
    writer_kind = HoardingWriter


class Hoarding(Node):
    owner = HoardingOwner


class Trusting(Node):
    """Reading goes on where the group committed."""

    def position(self, place: Place) -> int:
        return self.kafka.committed.get((self.context.group, *place), 0)


class EarlyPort(Port):
    """An event is recorded when the broker says, whatever was before it."""

    async def append(self, partition: int, records: Sequence[Outgoing]) -> int:
        return await super().append(partition, [record._replace(timestamp=self.kafka.now()) for record in records])


class Early(Node):
    port = EarlyPort


class IdleAgenda(Agenda):
    """After a recovery, what states want of the outside is not taken up again."""

    async def resume(self) -> None:
        """Never."""


class UntimelyAgenda(Agenda):
    """Nor are deadlines."""

    async def resume(self) -> None:
        await super().resume()
        self._due_from = behind(line_prefix(CLOCK))


class IdleOwner(Owner):
    agenda_kind = IdleAgenda


class UntimelyOwner(Owner):
    agenda_kind = UntimelyAgenda


class Idle(Node):
    owner = IdleOwner


class Untimely(Node):
    owner = UntimelyOwner


class Careless(Node):
    """The outside is asked with another key each time."""

    async def attempt(self, perform: Perform[Any, Any], intent: Any, attempt: Attempt) -> Any:
        self.times = getattr(self, "times", count(1))
        key = f"{attempt.key}/{self.name}/{next(self.times)}"
        return await super().attempt(perform, intent, replace(attempt, key=key))


class BrittleEffects(EffectRunner):
    """An error that nobody planned for is everybody's."""

    def _unplanned(self, target: Target, work: Work, error: BaseException) -> str:
        raise error


class BrittleOwner(Owner):
    effects_kind = BrittleEffects


class Brittle(Node):
    owner = BrittleOwner


class HastyOwner(Owner):
    """What a policy hears counts as heard before what it asks is in its topic."""

    async def _react(self, records: Sequence[Any]) -> None:
        self._heard.note((records[-1].topic, records[-1].partition), records[-1].offset + 1)
        await super()._react(records)


class Hasty(Node):
    owner = HastyOwner


class UnmarkedHandler(CommandHandler):
    """A reaction counts wherever it stands."""

    def _is_over(self, key: bytes, posted: Posted, identity: Header, decision: Decision) -> bool:
        return identity[0] != REACTION and super()._is_over(key, posted, identity, decision)


class UnmarkedWriter(Writer):
    handler_kind = UnmarkedHandler


class UnmarkedOwner(Owner):
    writer_kind = UnmarkedWriter


class Unmarked(Node):
    owner = UnmarkedOwner


class GullibleHandler(CommandHandler):
    """An answer counts, whether anybody waits for it or not."""

    def _is_over(self, key: bytes, posted: Posted, identity: Header, decision: Decision) -> bool:
        return identity[0] == REACTION and super()._is_over(key, posted, identity, decision)


class GullibleWriter(Writer):
    handler_kind = GullibleHandler


class GullibleOwner(Owner):
    writer_kind = GullibleWriter


class Gullible(Node):
    owner = GullibleOwner


class BelatedHandler(CommandHandler):
    """What waited counts, whatever is open by now."""

    def _standing_of_head(self, key: bytes, posted: Posted, decision: Decision) -> Standing:
        return Standing.NEW


class BelatedWriter(Writer):
    handler_kind = BelatedHandler


class BelatedOwner(Owner):
    writer_kind = BelatedWriter


class Belated(Node):
    owner = BelatedOwner


class IndifferentHandler(CommandHandler):
    """A command under an id that is known is the one that was decided, whatever it says."""

    def _standing(self, key: bytes, posted: Posted, decision: Decision) -> Standing:
        standing = super()._standing(key, posted, decision)
        return Standing.DUPLICATE if standing is Standing.REUSED else standing


class IndifferentWriter(Writer):
    handler_kind = IndifferentHandler


class IndifferentOwner(Owner):
    writer_kind = IndifferentWriter


class Indifferent(Node):
    owner = IndifferentOwner


class SqueamishHandler(CommandHandler):
    """A command is rejected for its place in the topic."""

    def _decide_on(self, posted: Posted, decision: Decision) -> None:
        if posted.record.offset % 3 == 0 and posted.type != DISCARD:
            posted = replace(posted, command=Unreadable("bad_header", "nobody else sees it"))
        super()._decide_on(posted, decision)


class SqueamishWriter(Writer):
    handler_kind = SqueamishHandler


class SqueamishOwner(Owner):
    writer_kind = SqueamishWriter


class Squeamish(Node):
    owner = SqueamishOwner


class UnguardedHandler(CommandHandler):
    """Everything may be asked by both ways."""

    def __init__(self, aggregates: Aggregates) -> None:
        everything = (*aggregates.context.asked, *aggregates.context.own)
        super().__init__(aggregates, dict.fromkeys(Way, everything))


class UnguardedWriter(Writer):
    handler_kind = UnguardedHandler


class UnguardedOwner(Owner):
    writer_kind = UnguardedWriter


class Unguarded(Node):
    owner = UnguardedOwner


class MergingPort(Port):
    """There is one mark for all that is heard."""

    async def send(self, topic: str, records: Iterable[tuple[int, Outgoing]]) -> None:
        await super().send(topic, [(partition, self._of_one_source(record)) for partition, record in records])

    def _of_one_source(self, record: Outgoing) -> Outgoing:
        place = dict(record.headers).get(REACTION)
        if place is None:
            return record
        _, (offset, number) = reaction_place(place)
        return record._replace(headers=with_header(record.headers, REACTION, b"all/0/%d/%d" % (offset, number)))


class Merging(Node):
    port = MergingPort


class DisorderlyPort(Port):
    """What follows from a batch is asked in any order."""

    async def send(self, topic: str, records: Iterable[tuple[int, Outgoing]]) -> None:
        shuffled = list(records)
        self.dice.shuffle(shuffled)
        await super().send(topic, shuffled)


class Disorderly(Node):
    port = DisorderlyPort


class PipeliningOwner(Owner):
    """The next batch is reacted to before the one in front is acknowledged."""

    async def _react(self, records: Sequence[Any]) -> None:
        self._run_aside(super()._react(records), "react")


class Pipelining(Node):
    owner = PipeliningOwner


class Leaky(Node):
    """What was fetched before the group was shuffled is handled behind the barrier, and what was dropped in front of it late."""

    async def _fetch(self, place: Place, position: int, generation: int, reading: int) -> None:
        await asyncio.sleep(self.dice.random() * 5)
        await super()._fetch(place, position, generation, reading)

    def is_current(self, place: Place, generation: int, reading: int) -> bool:
        return True


class Overtaken(Node):
    """What was fetched of a place before it was read anew is handled after that, and in front of what comes then."""

    async def _fetch(self, place: Place, position: int, generation: int, reading: int) -> None:
        if reading > 1:
            await asyncio.sleep(self.dice.random() * 3)
        await super()._fetch(place, position, generation, reading)

    def is_current(self, place: Place, generation: int, reading: int) -> bool:
        return self.generation == generation


class HeedlessLanes(Lanes):
    """Who is in the middle of a batch goes on, whatever becomes of the partition.

    No rule: no law needs lanes to be closed, it spares everybody work that is void. What is acknowledged was handled, and so
    was all in front of it in its lane; what waits in the lane is of an older generation, and dropped; and a writer that goes
    on with a partition it lost is a zombie like any other. That older generations are dropped is the rule: "leaky".
    """

    async def close(self) -> None:
        self._open = False
        self._lanes.clear()


class HeedlessOwner(Owner):
    lanes_kind = HeedlessLanes


class Heedless(Node):
    owner = HeedlessOwner


class BlindOwner(Owner):
    """What others append is seen when there is something to write.

    A zombie's events do not need more: whatever it decided its owner is asked too, and meets them at its own append. What
    nobody asked for does, such as the seal of a log that grows.
    """

    async def _tail(self) -> None:
        """Never."""


class Blind(Node):
    owner = BlindOwner


class UnwatchedWatch(Watch):
    """The topics are named, and never held against anything."""

    async def take_over(self, writers: Mapping[int, Writer]) -> None:
        self._owned = dict(writers)
        for topic in self._ways:
            for number in writers:
                await self._name((topic, number), topic)

    async def look(self) -> None:
        """Never."""


class UnwatchedOwner(Owner):
    watch_kind = UnwatchedWatch


class Unwatched(Node):
    owner = UnwatchedOwner


class NearsightedPort(Port):
    """Where a topic begins and ends is looked at, and not what stands where something was decided."""

    async def look(self, places: Collection[Place], at: Mapping[Place, int]) -> dict[Place, Seen]:
        return await super().look(places, {})


class Nearsighted(Node):
    port = NearsightedPort


class ByNamePort(Port):
    """A topic is known by its name."""

    async def look(self, places: Collection[Place], at: Mapping[Place, int]) -> dict[Place, Seen]:
        found = await super().look(places, at)
        return {p: f if isinstance(f, Unanswered) else replace(f, topic_id=p[0]) for p, f in found.items()}


class ByName(Node):
    port = ByNamePort


class SluggishWriter(Writer):
    """What was taken in is folded when it is needed, and not before."""

    async def settle(self) -> None:
        """Never."""


class SluggishOwner(Owner):
    writer_kind = SluggishWriter


class Sluggish(Node):
    owner = SluggishOwner


class UntidyWriter(Writer):
    """What cannot be processed is kept after its answer is in the log."""

    late = "dead"

    async def _commit(self, decision: Decision) -> bool:
        nothing: dict[str, Any] = {"dead": [], "forwards": []}
        if not await super()._commit(replace(decision, **{self.late: nothing[self.late]})):
            return False
        aside = replace(decision, **nothing | {self.late: getattr(decision, self.late)})
        await until_known(lambda: self._send_aside(aside))
        return True


class MislayingWriter(UntidyWriter):
    """What belongs to another partition is sent there after the cursor has passed it."""

    late = "forwards"


class UntidyOwner(Owner):
    writer_kind = UntidyWriter


class Untidy(Node):
    owner = UntidyOwner


class MislayingOwner(Owner):
    writer_kind = MislayingWriter


class Mislaying(Node):
    owner = MislayingOwner


class AnonymousPort(Port):
    """A letter of which something is withheld loses the headers at its end."""

    async def send(self, topic: str, records: Iterable[tuple[int, Outgoing]]) -> None:
        await super().send(topic, [(partition, _anonymous(record)) for partition, record in records])


def _anonymous(record: Outgoing) -> Outgoing:
    if "dlq-withheld" not in dict(record.headers):
        return record
    return record._replace(headers=[(name, value) for name, value in record.headers if name != ID])


class Anonymous(Node):
    port = AnonymousPort


class GaplessWriter(Writer):
    """A log ends with its last record."""

    def __init__(self, *args: Any, **known: Any) -> None:
        super().__init__(*args, **known)
        self.aggregates.pass_to = lambda end: None  # type: ignore[method-assign]


class GaplessOwner(Owner):
    writer_kind = GaplessWriter


class Gapless(Node):
    owner = GaplessOwner


class HurriedHandler(CommandHandler):
    """A deadline is decided whenever somebody calls it."""

    def _is_early(self, key: bytes, posted: Posted, identity: Header, decision: Decision) -> bool:
        return False


class HurriedWriter(Writer):
    handler_kind = HurriedHandler


class HurriedOwner(Owner):
    writer_kind = HurriedWriter


class Hurried(Node):
    owner = HurriedOwner


class PunctualWriter(Writer):
    """What the broker's clock shows is the time."""

    def _latest_of(self, records: Sequence[Record]) -> float:
        return math.inf


class PunctualOwner(Owner):
    writer_kind = PunctualWriter


class Punctual(Node):
    owner = PunctualOwner


class StubbornOwner(Owner):
    """A deadline that came before its moment is not called again."""

    def _postpone(self, intent: Intent, broker_ms: int) -> None:
        pass


class Stubborn(Node):
    owner = StubbornOwner


class LiteralOwner(Owner):
    """Whatever stands in a topic was asked."""

    async def _asked_by(self, records: Sequence[Record]) -> AsyncIterator[Sequence[Record]]:
        yield records


class Literal(Node):
    owner = LiteralOwner


class TimidHandler(CommandHandler):
    """Whatever cannot be processed blocks its key."""

    def _rejected(self, posted: Posted, why: Unreadable) -> Rejected:
        return replace(super()._rejected(posted, why), blocks=True)


class TimidWriter(Writer):
    handler_kind = TimidHandler


class TimidOwner(Owner):
    writer_kind = TimidWriter


class Timid(Node):
    owner = TimidOwner


class PushingHandler(CommandHandler):
    """Nobody waits."""

    def _waits(self, posted: Posted, queue: Queue) -> bool:
        return False


class PushingWriter(Writer):
    handler_kind = PushingHandler


class PushingOwner(Owner):
    writer_kind = PushingWriter


class Pushing(Node):
    owner = PushingOwner


class InFlightWriter(Writer):
    """Every command is an append of its own, decided as if the ones in front had landed; `in_flight` of them are sent at once.

    What is believed of them is a copy, so that the state stays what the log has said, whatever becomes of them.
    """

    in_flight = 8

    async def _decide(self, records: Sequence[Any], start: int) -> int:
        commands, end = self._commands, min(start + self.in_flight, len(records))
        for record in records[start:end]:
            await self.state.fetch(*commands.about(commands.read([record])))
        latest = self._latest_of(records)
        belief = _copy(self.aggregates)
        commands = self.handler_kind(belief)
        decisions = [
            _believing(belief, commands.decide(commands.read([record], 0, latest))) for record in records[start:end]
        ]
        for early in (one for decision in decisions for one in decision.early):
            self._on_early(*early)
        if not all(await asyncio.gather(*map(self._append, decisions))):
            await self._catch_up()
            return start
        self.aggregates, self.state.aggregates, self._commands = belief, belief, commands
        self._on_intents(belief.new_intents())
        return end


def _copy(aggregates: Aggregates) -> Aggregates:
    same = (aggregates.context, aggregates.codec, aggregates.kinds)
    return deepcopy(aggregates, {id(part): part for part in same})


def _believing(belief: Aggregates, decision: Decision) -> Decision:
    if decision.records:
        belief.merge(decision)
    return decision


class OneByOneWriter(InFlightWriter):
    """No rule: with one append at a time, what is left of it breaks nothing."""

    in_flight = 1


class OneByOneOwner(Owner):
    writer_kind = OneByOneWriter


class OneByOne(Node):
    owner = OneByOneOwner


class EagerWriter(Writer):
    """What a decision wants is begun before the log has accepted it."""

    async def handle(self, records: Sequence[Any]) -> None:
        asked = self._commands.read(records)
        await self.state.fetch(*self._commands.about(asked))
        decision = self._commands.decide(asked)
        self._on_intents([intent for intent in decision.intents.values() if intent is not None])
        await super().handle(records)


class SilentWriter(Writer):
    """A command that finds nothing to do leaves nothing in the log."""

    async def handle(self, records: Sequence[Any]) -> None:
        for record in records:
            if await self._leaves_something(record):
                await super().handle([record])

    async def handle_own(self, records: Sequence[Any]) -> None:
        for record in records:
            if await self._leaves_something(record):
                await super().handle_own([record])

    async def _leaves_something(self, record: Any) -> bool:
        asked = self._commands.read([record])
        await self.state.fetch(*self._commands.about(asked))
        answers = self._commands.decide(asked).records
        return not any(b"nothing_to_do" in (answer.value or b"") for answer in answers)


class SilentOwner(Owner):
    writer_kind = SilentWriter


class Silent(Node):
    owner = SilentOwner


class InFlightOwner(Owner):
    writer_kind = InFlightWriter


class EagerOwner(Owner):
    writer_kind = EagerWriter


class InFlight(Node):
    owner = InFlightOwner


class Eager(Node):
    owner = EagerOwner


class ApartState(State):
    """The position is written first, and what leads to it after that."""

    def _put(self, position: Position, unwritten: Unwritten) -> list[tuple[bytes, int]]:
        self._store.write({POSITION: value_of(position)})
        return super()._put(position, unwritten)


class SwallowingState(State):
    """What was only taken in counts as folded when it is written."""

    async def _write(self) -> bool:
        self.aggregates.unread.clear()
        return await super()._write()


class LavishState(State):
    """Whatever there is no room for is let go of, written or not."""

    async def trim(self) -> None:
        if self._budget() < math.inf:
            self._is_all_here = False
            self._hot.clear()
            for slot in list(self.aggregates.states):
                self.aggregates.let_go(slot)


class SharedDisk(ProcessDisk):
    """A store is open to whoever wants it."""

    def _free(self, contents: list[Content]) -> Content | None:
        return contents[0] if contents else None


class ApartOwner(Owner):
    state_kind = ApartState


class SwallowingOwner(Owner):
    state_kind = SwallowingState


class LavishOwner(Owner):
    state_kind = LavishState


class Apart(Node):
    owner = ApartOwner


class Swallowing(Node):
    owner = SwallowingOwner


class Lavish(Node):
    owner = LavishOwner


class Sharing(Node):
    disk_kind = SharedDisk


RULES = {
    "credulous": Rule(
        "a record counts iff it landed where it was expected", Credulous, "the_state_is_the_fold_of_the_log"
    ),
    "in flight": Rule(
        "one batch is in flight per partition", InFlight, "what_was_decided_follows_from_the_log_before_it"
    ),
    "eager": Rule("nothing is done before the log has it", Eager, "nothing_is_done_that_the_log_did_not_ask_for"),
    "silent": Rule("every command leaves an event", Silent, "every_command_is_answered"),
    "tearing": Rule(
        "the records of a command are one batch", Tearing, "what_was_decided_follows_from_the_log_before_it"
    ),
    "hopeful": Rule("the acknowledgement decides", Hopeful, "every_command_is_answered"),
    "forgetful": Rule("commands are remembered", Forgetful, "a_command_is_decided_once"),
    "oblivious": Rule("what is open comes from the log", Oblivious, "the_intents_are_the_fold_of_the_log"),
    "hoarding": Rule("what is done is open no more", Hoarding, "the_intents_are_the_fold_of_the_log"),
    "lenient": Rule("what waits comes from the log", Lenient, "nothing_overtakes_what_waits"),
    "trusting": Rule("cursors come from the log", Trusting, "every_command_is_answered"),
    "early": Rule("time never goes back", Early, "time_never_goes_back"),
    "hurried": Rule("a deadline counts from its moment on", Hurried, "no_deadline_comes_early"),
    "stubborn": Rule("one that came early is called again", Stubborn, "no_deadline_is_missed"),
    "punctual": Rule("a broker's clock that is ahead is not believed", Punctual, "no_time_is_far_ahead"),
    "idle": Rule("effects come from the state, also after a recovery", Idle, "nothing_that_was_wanted_is_left_open"),
    "untimely": Rule("deadlines come from the state, also after a recovery", Untimely, "no_deadline_is_missed"),
    "careless": Rule("the outside is asked with one key", Careless, "a_bell_is_rung_once_a_filling"),
    "hasty": Rule("a policy's position is written after its acknowledgements", Hasty, "every_event_is_reacted_to_once"),
    "unmarked": Rule("a reaction counts above the mark of its source", Unmarked, "a_command_is_decided_once"),
    "merging": Rule("each source has a mark of its own", Merging, "every_event_is_reacted_to_once"),
    "disorderly": Rule("reactions are asked in order", Disorderly, "every_event_is_reacted_to_once"),
    "pipelining": Rule("the next batch comes after the acknowledgements", Pipelining, "every_event_is_reacted_to_once"),
    "gullible": Rule("an answer counts if what it answers is open", Gullible, "an_answer_is_to_what_is_open"),
    "belated": Rule("so does one that waited", Belated, "an_answer_is_to_what_is_open"),
    "indifferent": Rule("an id stands for one content", Indifferent, "who_takes_an_id_hears_of_it"),
    "unguarded": Rule("what is a context's own comes by its own way", Unguarded, "nobody_asks_what_is_not_theirs"),
    "literal": Rule("what was aborted was never asked", Literal, "nothing_is_decided_that_was_aborted"),
    "squeamish": Rule("what can be read is processed", Squeamish, "what_is_rejected_cannot_be_read"),
    "leaky": Rule("nothing is handled after a batch that was dropped", Leaky, "every_event_is_reacted_to_once"),
    "overtaken": Rule(
        "nothing is handled that was fetched before a place was read anew", Overtaken, "every_command_is_answered"
    ),
    "unwatched": Rule("a command topic is held against its log", Unwatched, "every_command_is_answered"),
    "nearsighted": Rule("what was decided last is still where it stood", Nearsighted, "every_command_is_answered"),
    "by name": Rule("a command topic is known by its id", ByName, "the_log_names_the_command_topics_that_are_there"),
    "blind": Rule("an idle owner sees what others append", Blind, "an_owner_knows_the_end_of_its_log"),
    "gapless": Rule("marks of transactions are passed over", Gapless, "an_owner_knows_the_end_of_its_log"),
    "brittle": Rule("an attempt that fails is one intent's", Brittle, "no_process_fails_by_itself"),
    "sluggish": Rule("what was taken in is folded by itself", Sluggish, "nothing_that_was_wanted_is_left_open"),
    "untidy": Rule("what cannot be processed is kept before it is answered", Untidy, "what_waits_is_kept"),
    "anonymous": Rule("a letter keeps the id it goes by", Anonymous, "what_waits_is_kept"),
    "mislaying": Rule(
        "what belongs elsewhere is there before the cursor passes it", Mislaying, "every_command_is_answered"
    ),
    "timid": Rule("nobody waits behind a stranger's noise", Timid, "nobody_waits_behind_noise"),
    "pushing": Rule("a command waits behind one that could not be processed", Pushing, "nothing_overtakes_what_waits"),
    "apart": Rule("state and position are written together", Apart, "the_state_is_the_fold_of_the_log"),
    "swallowing": Rule("what is only taken in is not written", Swallowing, "the_state_is_the_fold_of_the_log"),
    "lavish": Rule("what is let go of is written", Lavish, "the_state_is_the_fold_of_the_log"),
    "sharing": Rule("a store has one owner", Sharing, "the_state_is_the_fold_of_the_log"),
}
