"""One context in one process: the partitions it owns, from the barrier to the last acknowledgement.

Who assigns partitions and brings records is a host's business (infra/write/host: Faust). Between an assignment and the first
command stands a barrier: the owned partitions are folded to the end of the log, and reading resumes where the log says.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from infra.errors import Unknown
from infra.kafka.log import CommandSink, EventLog, addressed, until_known
from infra.kafka.topics import CIRCUITS_TOPIC, HEARD_TOPIC, STOPPED_TOPIC
from infra.mesh import Mesh
from infra.messages import Due
from infra.model.context import Context, Perform
from infra.settings import DAY_MS
from infra.wire.envelope import Way
from infra.wire.record import Outgoing, Record
from infra.write.aggregates import Aggregates
from infra.write.circuits import Circuit, Circuits, circuit_record
from infra.write.effects import EffectRunner
from infra.write.heard import Heard, Listener
from infra.write.intents import Intent
from infra.write.lanes import Handle, Lanes, Place
from infra.write.reactions import commands_from
from infra.write.snapshots import Snapshot, fingerprint, save
from infra.write.timers import Timers
from infra.write.watch import CommandTopics, Watch
from infra.write.writer import Bounds, Writer

_log = structlog.get_logger()

TAIL_SECONDS = 1.0  # how long a foreign accepted record, a late zombie's, may go unseen by an idle owner
SNAPSHOT_SECONDS = 30.0
HEARD_SECONDS = 1.0


class Owner:
    """`partitions` of its topics, `dedupe_ms` a command id is remembered; `failed` hears of an error nobody planned for.

    `topic_ids` are Kafka's of the context's topics and of those it hears; `heard` reads what there is of `weft.heard`;
    `topics` says what its command topics are now, `reread` has one of their partitions read from its position again, and
    `keep_ms` is how long a decided command stays there.
    `snapshots` is a directory; without one, a partition is folded from offset 0.
    """

    writer_kind: type[Writer] = Writer  # the simulation has kinds without a rule
    lanes_kind: type[Lanes] = Lanes
    watch_kind: type[Watch] = Watch

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
        *,
        keep_ms: int = 7 * DAY_MS,
        snapshots: Path | None = None,
        now: Callable[[], float] = time.time,
        bounds: Bounds = Bounds(),  # noqa: B008 (frozen)
    ) -> None:
        self.context = context
        self.writers: dict[int, Writer] = {}
        self.timers = Timers(mesh.codec, sink, context.own_topic, partitions, self._still_open, now)
        self._ways = {context.commands_topic: Way.COMMANDS, context.own_topic: Way.OWN}
        self.lanes = self.lanes_kind(self._handler_of, failed)
        self.watch = self.watch_kind(
            context, topics, keep_ms, self.lanes, reread, self._resumed, self._tell_stopped, now
        )
        self._codec = mesh.codec
        self._partitions = partitions
        self._dedupe_ms = dedupe_ms
        self._events = log
        self._sink = sink
        self._failed = failed
        self._now = now
        self._bounds = bounds
        self._effects: EffectRunner | None = None
        self._aside: set[asyncio.Task[None]] = set()
        self._topic_ids = topic_ids
        self._listener = Listener(context.name, topic_ids[context.own_topic], topic_ids)
        self._heard = Heard(self._listener)
        self._unsaid: dict[bytes, Outgoing] = {}
        self._read_heard = heard
        self._home = snapshots
        self._code = fingerprint(context, mesh.codec) if snapshots else b""
        self._snapshots: dict[int, Snapshot] = {}
        self._saving: asyncio.Task[None] | None = None
        self._files = asyncio.Lock()

    def perform_with(self, perform: Perform[Any, Any]) -> None:
        """From now on, what states want of the outside is done by `perform`."""
        circuits = Circuits(self._tell, now=self._now)
        self._effects = EffectRunner(
            self.context, self._codec, perform, self._sink, self._partitions, self._failed, circuits
        )

    # -- partitions come and go

    async def revoked(self) -> None:
        """Drop what is not acknowledged: who owns it next reads it again."""
        await self.watch.let_go()
        await self.lanes.close()

    async def assigned(self, numbers: Collection[int]) -> None:
        """The barrier: nothing is decided before everything decided so far is folded. An error here ends the process."""
        await self.watch.let_go()
        await self.lanes.close()
        async with self._files:  # nobody writes a snapshot whose partition is let go of
            await self._exchange(numbers)
        await until_known(self._load_heard)
        resumed = {p: writer.aggregates.next_offset for p, writer in sorted(self.writers.items())}
        await asyncio.gather(*(writer.catch_up() for writer in self.writers.values()))
        await self.watch.take_over(self.writers)
        self.lanes.open(self.watch.standing)
        for number, writer in self.writers.items():
            if writer.aggregates.unread:
                self._run_aside(writer.settle(), f"settle {number}")
        folded = {p: writer.aggregates.next_offset for p, writer in sorted(self.writers.items())}
        _log.info("ready", context=self.context.name, partitions=folded, resumed=resumed)

    async def _load_heard(self) -> None:
        self._heard.load(await self._read_heard())

    async def _exchange(self, numbers: Collection[int]) -> None:
        gone = [number for number in self.writers if number not in numbers]
        if self._effects:
            await self._effects.stop(gone)
        for number in gone:
            self._let_go(number)
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
        aggregates = Aggregates(self.context, self._codec, number, self._partitions, self._dedupe_ms)
        if self._home:
            topic_id = self._topic_ids[self.context.events_topic]
            snapshot = self._snapshots[number] = Snapshot(self._home, self._code, number, self._partitions, topic_id)
            snapshot.open()
            await asyncio.to_thread(snapshot.load, aggregates)
        return self.writer_kind(aggregates, self._events, self._sink, self._want, self._bounds)

    def _let_go(self, number: int) -> None:
        if snapshot := self._snapshots.pop(number, None):
            snapshot.close()
        self.writers.pop(number).aggregates.unread.clear()  # whoever settles it has nothing left to do

    # -- records come

    def _handler_of(self, place: Place) -> Handle:
        topic, number = place
        if (way := self._ways.get(topic)) is None:
            return self._react
        writer = self.writers[number]
        return writer.handle_own if way is Way.OWN else writer.handle

    async def _react(self, records: Sequence[Any]) -> None:
        """Ask what follows, all of it again until it is known to be there, and only then note that it was heard."""
        topic, partition = records[-1].topic, records[-1].partition
        commands = list(commands_from(self.context, self._codec, records, self._topic_ids[topic]))
        if commands:
            await until_known(lambda: self._sink.send(self.context.own_topic, addressed(commands, self._partitions)))
        self._heard.note((topic, partition), records[-1].offset + 1)

    def _want(self, intents: Sequence[Intent]) -> None:
        self.timers.set([intent for intent in intents if isinstance(intent.wanted, Due)])
        if self._effects:
            self._effects.start([intent for intent in intents if not isinstance(intent.wanted, Due)])

    def _still_open(self, intent: Intent) -> bool:
        writer = self.writers.get(intent.partition)
        current = writer.aggregates.intents.get(intent.place) if writer else None
        return current is not None and current.key == intent.key

    # -- what goes on all the time

    async def run(self) -> None:
        """Deadlines, foreign records, snapshots: until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tail())
            group.create_task(self.watch.run())
            group.create_task(self.watch.sweep_up())
            group.create_task(self.timers.run())
            group.create_task(self._take_snapshots())
            group.create_task(self._save_heard())

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
        """Positions that cannot be written are too low, which harms nobody; later ones follow."""
        if unsaved := self._heard.unsaved():
            try:
                await self._sink.send(HEARD_TOPIC, [(0, record) for record in unsaved])
            except Unknown as error:
                _log.warning("positions not written", context=self.context.name, error=str(error))

    async def _take_snapshots(self) -> None:
        """Every now and then, so that a restart folds only what came since."""
        while self._home:
            await asyncio.sleep(SNAPSHOT_SECONDS)
            await self._save()

    async def _save(self) -> None:
        """One at a time, and whole: a frame that is written behind a newer one would be folded twice."""
        if self._saving is not None:
            await asyncio.wait([self._saving])
        self._saving = asyncio.create_task(self._save_all())
        await asyncio.shield(self._saving)

    async def _save_all(self) -> None:
        async with self._files:
            await self._save_each()

    async def _save_each(self) -> None:
        for number, snapshot in list(self._snapshots.items()):
            if writer := self.writers.get(number):
                await save(writer.aggregates, snapshot)

    def _resumed(self, place: Place) -> None:
        """A way in goes on: what was asked by it may be lost, so what is open is wanted again."""
        topic, number = place
        if self._ways[topic] is Way.OWN and (writer := self.writers.get(number)):
            self._want(list(writer.aggregates.intents.values()))

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

    def _run_aside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._aside.add(task)
        task.add_done_callback(self._done_aside)

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
        await self._save()
        for snapshot in self._snapshots.values():
            snapshot.close()
