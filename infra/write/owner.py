"""One context in one process: the partitions it owns, from the barrier to the last acknowledgement.

Who assigns partitions and brings records is a host's business (infra/write/host: Faust). Between an assignment and the first
command stands a barrier: the owned partitions are folded to the end of the log, and reading resumes where the log says.
"""

import asyncio
import contextlib
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from functools import partial
from itertools import islice
from typing import Any

import structlog

from infra.errors import OfNewerCode, Unknown
from infra.kafka.log import CommandSink, EventLog, addressed, until_known
from infra.kafka.topics import CIRCUITS_TOPIC, EFFECTS_TOPIC, HEARD_TOPIC, STOPPED_TOPIC
from infra.mesh import Mesh
from infra.model.context import Context, Perform
from infra.settings import DAY_MS
from infra.wire.envelope import Way
from infra.wire.record import InTransaction, Outgoing, Record
from infra.write import transactions
from infra.write.admission import Admission
from infra.write.agenda import DUE_AT_ONCE, Agenda
from infra.write.aggregates import Aggregates
from infra.write.circuits import Circuit, circuit_record
from infra.write.effects import EffectRunner
from infra.write.fingerprint import fingerprint
from infra.write.heard import Heard, Listener
from infra.write.intents import Intent, moment
from infra.write.lanes import Handle, Lanes, Place
from infra.write.reactions import commands_from
from infra.write.state import Budget, State
from infra.write.store import Disk
from infra.write.timers import Calendar, fire, since_boot
from infra.write.tries import MOST, asked_again, state_record, states
from infra.write.watch import CommandTopics, Watch
from infra.write.writer import Bounds, Writer

_log = structlog.get_logger()

TAIL_SECONDS = 1.0  # how long a foreign accepted record, a late zombie's, may go unseen by an idle owner
WRITE_SECONDS = 1.0  # what changed is written down that often, or when it is much
WRITING_SHARE = 0.1  # of the time at most, unless it is much
FLUSH_SECONDS = 30.0  # and outlasts a crash by then
FORGET_SECONDS = 6 * 3600.0  # command ids that are too old
DUE_SECONDS = 0.5
EARLY_MS = 1000  # from there on a clock is said to be wrong
HEARD_SECONDS = 1.0
NEWER_SECONDS = 60.0  # between two words about what is of newer code
TRIES_SECONDS = 10.0  # what is tried in vain is said that often at most, if it is not what was said
AGAIN_SECONDS = 5.0  # and somebody who wants it to be tried again is heard by then


async def _nothing_tried() -> Sequence[Record] | None:
    return None


class Owner:
    """`partitions` of its topics, `dedupe_ms` a command id is remembered; `failed` hears of an error nobody planned for.

    `topic_ids` are Kafka's of the context's topics and of those it hears; `heard` reads what there is of `weft.heard`;
    `topics` says what its command topics are now, `reread` has one of their partitions read from its position again, and
    `keep_ms` is how long a decided command stays there; `tried` reads what there is of `weft.effects`,
    None if there is no such topic; `now` is this host's clock, and `elapsed` one that nobody sets (s).
    `admission` says when strangers' commands are let in, and is that of the process, as are
    `disk`, which has a store for each partition, and `budget`, which says how many bytes of them one may keep in memory as well.
    """

    writer_kind: type[Writer] = Writer  # the simulation has kinds without a rule
    lanes_kind: type[Lanes] = Lanes
    agenda_kind: type[Agenda] = Agenda
    state_kind: type[State] = State
    watch_kind: type[Watch] = Watch
    effects_kind: type[EffectRunner] = EffectRunner

    def __init__(
        self,
        mesh: Mesh,
        context: Context,
        partitions: int,
        dedupe_ms: int,
        log: EventLog,
        sink: CommandSink,
        failed: Callable[[BaseException], None],
        topic_ids: Mapping[str, str],
        heard: Callable[[], Awaitable[Iterable[Record]]],
        topics: CommandTopics,
        reread: Callable[[Place], Awaitable[None]],
        disk: Disk,
        budget: Budget,
        *,
        admission: Admission | None = None,
        keep_ms: int = 7 * DAY_MS,
        tried: Callable[[], Awaitable[Sequence[Record] | None]] = _nothing_tried,
        now: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = since_boot,
        bounds: Bounds = Bounds(),  # noqa: B008 (frozen)
    ) -> None:
        self.context = context
        self.writers: dict[int, Writer] = {}
        self._ways = {context.commands_topic: Way.COMMANDS, context.own_topic: Way.OWN}
        self.lanes = self.lanes_kind(self._handler_of, failed, now)
        self.watch = self.watch_kind(
            context, partitions, topics, keep_ms, self.lanes, reread, self._resumed, self._tell_stopped, now
        )
        self._codec = mesh.codec
        self.partitions = partitions
        self._dedupe_ms = dedupe_ms
        self._events = log
        self._sink = sink
        self._failed = failed
        self._now = now
        self._topics = topics
        self._calendar = Calendar(now, elapsed)
        self._bounds = bounds
        self._effects: EffectRunner | None = None
        self._aside: set[asyncio.Task[None]] = set()
        self._topic_ids = topic_ids
        self._listener = Listener(context.name, topic_ids[context.own_topic], topic_ids)
        self._heard = Heard(self._listener)
        self._unsaid: dict[bytes, Outgoing] = {}
        self._read_heard = heard
        self._read_tried = tried
        self._told_tries: dict[int, Outgoing | None] = {}  # None if that is not known
        self._has_tries = False
        self._disk = disk
        self._budget = budget
        self._code = fingerprint(context, mesh.codec)
        self._agendas: dict[int, Agenda] = {}
        self._settling: dict[int, asyncio.Task[None]] = {}
        self._much = asyncio.Event()
        self._admission = admission or Admission()
        self._admission.heed(self._waiting)

    def perform_with(self, perform: Perform[Any, Any]) -> None:
        """From now on, what states want of the outside is done by `perform`."""
        self._effects = self.effects_kind(
            self.context,
            self._codec,
            perform,
            self._sink,
            self.partitions,
            self._topic_ids[self.context.events_topic],
            self._failed,
            self._done,
            self._tell,
            self._is_open,
            self._now,
        )

    async def _is_open(self, intent: Intent) -> bool:
        writer = self.writers.get(intent.partition)
        return writer is not None and await writer.state.is_open(intent)

    def _waiting(self) -> int:
        """How much of what was begun waits here: records to handle, and what outsides that answer are not asked yet."""
        outside = self._effects.waiting if self._effects else 0
        return self.lanes.waiting(besides=self.context.commands_topic) + outside

    # -- partitions come and go

    async def revoked(self) -> None:
        """Drop what is not acknowledged: who owns it next reads it again."""
        await self.watch.let_go()
        await self.lanes.close()

    async def assigned(self, numbers: Collection[int]) -> None:
        """The barrier: nothing is decided before everything decided so far is folded. An error here ends the process."""
        await self.watch.let_go()
        await self.lanes.close()
        await self._exchange(numbers)
        await until_known(self._load_heard)
        if self._effects:
            await until_known(self._load_told_tries)
        resumed = {p: writer.aggregates.next_offset for p, writer in sorted(self.writers.items())}
        await asyncio.gather(*map(self._bring_up, self.writers))
        await self.watch.take_over(self.writers)
        self.lanes.open(self.watch.standing)
        folded = {p: writer.aggregates.next_offset for p, writer in sorted(self.writers.items())}
        _log.info("ready", context=self.context.name, partitions=folded, resumed=resumed)

    async def _bring_up(self, number: int) -> None:
        """Have a partition at the end of its log, and what is open at hand."""
        writer = self.writers[number]
        if number in self._agendas:
            await writer.catch_up()
            return
        # who recovers may be told of an intent as soon as it has
        agenda = self._agendas[number] = self.agenda_kind(writer.state)
        self._start(agenda.opened(await writer.recover()))
        await agenda.resume()
        if writer.aggregates.unread:
            self._settling[number] = self._run_aside(writer.settle(), f"settle {number}")

    async def _load_heard(self) -> None:
        self._heard.load(await self._read_heard())

    async def _load_told_tries(self) -> None:
        """What others have said of the partitions that are this process's now is perhaps not so any more."""
        for said in states(await self._load_tried()):
            if said["context"] == self.context.name:
                self._told_tries[said["partition"]] = None

    async def _load_tried(self) -> Sequence[Record]:
        """Who asked for what to be tried again, so that it is not parked for its age."""
        assert self._effects is not None
        found = await self._read_tried()
        self._has_tries = found is not None
        self._effects.asked_again = asked_again(found or (), self.context.name)
        return found or ()

    async def _exchange(self, numbers: Collection[int]) -> None:
        gone = [number for number in self.writers if number not in numbers]
        for number in gone:
            self._agendas.pop(number, None)
            self._told_tries.pop(number, None)
        if self._effects:
            await self._effects.stop(gone)
        for number in gone:
            await self._let_go(number)
        for number in sorted(numbers):
            if number not in self.writers:
                self.writers[number] = await self._take(number)

    def position(self, place: Place) -> int | None:
        """Where reading has to resume: commands behind the highest one that was answered, what is heard where it was left."""
        topic, number = place
        if (way := self._ways.get(topic)) is None:
            return self._heard.position(place)
        writer = self.writers.get(number)
        return writer.aggregates.cursors[way] if writer else None

    async def _take(self, number: int) -> Writer:
        aggregates = Aggregates(self.context, self._codec, number, self.partitions, self._dedupe_ms)
        topic_id = self._topic_ids[self.context.events_topic]
        state = await self.state_kind.opened(aggregates, self._disk, topic_id, self._code, self._budget.share)
        self._budget.partitions += 1
        return self.writer_kind(
            state,
            self._events,
            self._sink,
            self._want,
            self._bounds,
            self._much.set,
            self._admission,
            self._postpone,
            self._now,
        )

    async def _let_go(self, number: int) -> None:
        if settling := self._settling.pop(number, None):
            settling.cancel()
        writer = self.writers.pop(number)
        self._agendas.pop(number, None)
        self._budget.partitions -= 1
        await writer.close()

    # -- records come

    def _handler_of(self, place: Place) -> Handle | None:
        """None of a partition that its log has not: a topic of commands may have been made anew with more."""
        topic, number = place
        if (way := self._ways.get(topic)) is None:
            return self._react
        writer = self.writers.get(number)
        return None if writer is None else partial(self._decide, writer, way)

    async def _decide(self, writer: Writer, way: Way, records: Sequence[Record]) -> None:
        """Decide what is asked by these records; what was aborted is passed by."""
        handle = writer.handle_own if way is Way.OWN else writer.handle
        async for asked in self._asked_by(records):
            await handle(asked)
        if isinstance(records[-1], InTransaction):
            await writer.pass_by(way, records[-1].offset + 1)

    def _asked_by(self, records: Sequence[Record]) -> AsyncIterator[Sequence[Record]]:
        return transactions.asked(self._topics, records)

    async def _react(self, records: Sequence[Any]) -> None:
        """Ask what follows, all of it again until it is known to be there, and only then note that it was heard."""
        topic, partition = records[-1].topic, records[-1].partition
        while True:
            try:
                commands = list(commands_from(self.context, self._codec, records, self._topic_ids[topic]))
                break
            except OfNewerCode as error:  # it stands still there, until newer code has its place
                _log.error("stopped", context=self.context.name, topic=topic, partition=partition, reason=str(error))
                await asyncio.sleep(NEWER_SECONDS)
        if commands:
            await until_known(lambda: self._sink.send(self.context.own_topic, addressed(commands, self.partitions)))
        self._heard.note((topic, partition), records[-1].offset + 1)

    def _want(self, intents: Sequence[Intent]) -> None:
        """Of one partition: begin what is to be done at once."""
        if intents and (agenda := self._agendas.get(intents[0].partition)):
            self._start(agenda.opened(intents))

    def _start(self, intents: Sequence[Intent]) -> None:
        if self._effects:
            self._effects.start(intents)

    def _done(self, intent: Intent) -> None:
        if agenda := self._agendas.get(intent.partition):
            agenda.done(intent)

    # -- what goes on all the time

    async def run(self) -> None:
        """Deadlines, foreign records, what is written down: until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in (
                self._tail,
                self._attend,
                self._write_down,
                self._flush,
                self._forget,
                self._save_heard,
                self._say_tried,
                self._try_again,
                self.watch.run,
                self.watch.sweep_up,
            ):
                group.create_task(work())

    async def _attend(self) -> None:
        """Post what is due, and begin what there was no room for."""
        while True:
            await asyncio.sleep(DUE_SECONDS)
            while await self._attend_once():
                pass

    async def _attend_once(self) -> bool:
        """Of each partition in its turn; whether more is due."""
        is_more = False
        for number, agenda in list(self._agendas.items()):
            if due := await agenda.due(self._calendar.now()):
                await fire(self._codec, self._sink, self.context.own_topic, self.partitions, due)
                is_more |= len(due) >= DUE_AT_ONCE
            intents = await agenda.more()
            if self._agendas.get(number) is agenda:  # else they are begun by who has the partition now
                self._start(intents)
        return is_more

    def _postpone(self, intent: Intent, broker_ms: int) -> None:
        """A deadline was called before its moment."""
        if (early := moment(intent) - broker_ms) > EARLY_MS and not self._calendar.is_corrected:
            _log.warning("this host's clock is ahead of the broker's", context=self.context.name, seconds=early / 1000)
        self._calendar.correct(broker_ms)
        if agenda := self._agendas.get(intent.partition):
            agenda.postpone(intent, broker_ms)

    async def _write_down(self) -> None:
        """What changed, again and again, so that a restart folds only what came since."""
        took = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(WRITE_SECONDS, took / WRITING_SHARE)):
                    await self._much.wait()
            self._much.clear()
            begun = asyncio.get_running_loop().time()
            for writer in list(self.writers.values()):
                await writer.write_down()
            took = asyncio.get_running_loop().time() - begun

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            for writer in list(self.writers.values()):
                await writer.state.keep()

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(FORGET_SECONDS)
            for writer in list(self.writers.values()):
                await writer.state.forget()

    async def _tail(self) -> None:
        """See what a zombie appended while this owner had nothing to write."""
        while True:
            await asyncio.sleep(TAIL_SECONDS)
            try:
                ends = await self._events.ends(list(self.writers))
            except Unknown as error:
                _log.warning("log unreachable", context=self.context.name, error=str(error))
                continue
            for number, end in ends.items():
                if writer := self.writers.get(number):
                    await writer.catch_up(end)

    async def _save_heard(self) -> None:
        while True:
            await asyncio.sleep(HEARD_SECONDS)
            await self._save_positions()
            await self._say_stopped()

    async def _save_positions(self) -> None:
        """Positions that cannot be written are too low, which harms nobody; they are tried again with the next."""
        if unsaved := self._heard.unsaved():
            try:
                await self._sink.send(HEARD_TOPIC, [(0, record) for record in unsaved])
            except Unknown as error:
                self._heard.not_saved()
                _log.warning("positions not written", context=self.context.name, error=str(error))

    async def _say_tried(self) -> None:
        """For whoever asks for the status, or looks after effects."""
        while True:
            await asyncio.sleep(TRIES_SECONDS)
            if self._effects and self._has_tries and (unsaid := dict(self._unsaid_tries(self._effects))):
                try:
                    await self._sink.send(EFFECTS_TOPIC, [(0, record) for record in unsaid.values()])
                    self._told_tries |= {number: record for number, record in unsaid.items() if number in self.writers}
                except Unknown as error:
                    _log.warning("what is tried in vain is not published", context=self.context.name, error=str(error))

    def _unsaid_tries(self, effects: EffectRunner) -> Iterator[tuple[int, Outgoing]]:
        for number in self.writers:
            tried = [
                {"key": work.intent.key, "target": target, "tries": work.tries, "said": work.said}
                for work, target in islice(effects.troubled(number), MOST)
            ]
            record = state_record(self.context.name, number, effects.parked[number], tried)
            if self._told_tries.get(number, state_record(self.context.name, number, 0, [])) != record:
                yield number, record

    async def _try_again(self) -> None:
        """Hear who wants something to be tried again; nobody has to be asked while nothing has a pause or is parked."""
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            if self._effects and self._effects.needs_somebody:
                before = self._effects.asked_again
                try:
                    await self._load_tried()
                except Unknown as error:
                    _log.warning("who wants what again is not known", context=self.context.name, error=str(error))
                    continue
                if self._effects.asked_again != before:
                    await self._want_parked(self._effects)

    async def _want_parked(self, effects: EffectRunner) -> None:
        for number in list(effects.parked):
            del effects.parked[number]
            if agenda := self._agendas.get(number):
                await agenda.resume()
        effects.hasten()

    def _resumed(self, place: Place) -> None:
        """A way in goes on: what was asked by it may be lost, so what is open is wanted again."""
        topic, number = place
        if self._ways[topic] is Way.OWN and number in self.writers:
            self._run_aside(self._want_again(number), f"want again {number}")

    async def _want_again(self, number: int) -> None:
        if self._effects:
            await self._effects.stop([number])
        if agenda := self._agendas.get(number):
            await agenda.resume()

    def _tell_stopped(self, records: Sequence[Outgoing]) -> None:
        """For whoever asks for the status; said within a second."""
        self._unsaid |= {record.key or b"": record for record in records}

    async def _say_stopped(self) -> None:
        unsaid, self._unsaid = self._unsaid, {}
        try:
            if unsaid:
                await self._sink.send(STOPPED_TOPIC, [(0, record) for record in unsaid.values()])
        except Unknown as error:
            self._unsaid = unsaid | self._unsaid  # what was said since is newer
            _log.warning("what stands still is not published", context=self.context.name, error=str(error))

    def _tell(self, circuit: Circuit) -> None:
        """Let whoever asks for the status know of a circuit that changed."""
        log = _log.info if circuit.state == "closed" else _log.warning
        log("circuit", context=self.context.name, target=circuit.target, state=circuit.state)
        self._run_aside(self._publish(circuit), "circuit")

    async def _publish(self, circuit: Circuit) -> None:
        """A circuit nobody hears of works all the same."""
        try:
            await self._sink.send(CIRCUITS_TOPIC, [(0, circuit_record(self.context.name, circuit))])
        except Unknown as error:
            _log.warning("circuit not published", context=self.context.name, error=str(error))

    def _run_aside(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._aside.add(task)
        task.add_done_callback(self._done_aside)
        return task

    def _done_aside(self, task: asyncio.Task[None]) -> None:
        self._aside.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._failed(error)

    async def stop(self) -> None:
        """Let go of everything; what is open is done by who owns it next."""
        await self.lanes.close()
        if self._effects:
            await self._effects.stop()
        for task in self._aside:
            task.cancel()
        await self._save_positions()
        await self._say_stopped()
        for number in list(self.writers):
            await self._let_go(number)
