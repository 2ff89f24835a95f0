"""One bounded context as a genuine Faust application.

Faust gives group membership, assignment, rebalancing, supervision and the life cycle. Between a rebalance and the first
command stands a barrier: the owned partitions are folded to the end of the log, and reading resumes where the log says.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import faust
import mode
import structlog
from faust.types import TP

from infra.errors import Unknown
from infra.kafka import reading
from infra.kafka.log import KafkaEventLog, Producer, addressed, connected, until_known
from infra.kafka.topics import CIRCUITS_TOPIC
from infra.mesh import Mesh
from infra.messages import Due
from infra.model.context import Context
from infra.settings import Settings, address
from infra.write.aggregates import Aggregates
from infra.write.circuits import Circuit, Circuits, circuit_record
from infra.write.effects import EffectRunner
from infra.write.host.batches import BatchConsumer, BatchTransport
from infra.write.host.lanes import Lanes
from infra.write.intents import Intent
from infra.write.reactions import commands_from
from infra.write.snapshots import Snapshot, fingerprint, save
from infra.write.timers import Timers
from infra.write.writer import Writer

_log = structlog.get_logger()

TAIL_SECONDS = 1.0  # how long a foreign accepted record, a late zombie's, may go unseen by an idle owner
SNAPSHOT_SECONDS = 30.0
DAY_MS = 86_400_000


class Worker:
    """The runtime of one context in this process."""

    def __init__(
        self,
        mesh: Mesh,
        context: Context,
        settings: Settings,
        producer: Producer,
        log: KafkaEventLog,
        topic_id: str,
    ) -> None:
        self.context = context
        self._heard = mesh.heard_topics(context)
        self._topic_id = topic_id
        self._code = fingerprint(context, mesh.codec)
        self._partitions = context.partition_count(settings)
        self.writers: dict[int, Writer] = {}
        self._snapshots: dict[int, Snapshot] = {}
        self._codec = codec = mesh.codec
        self._settings = settings
        self._producer = producer
        self._event_log = log
        self._effects: EffectRunner | None = None
        self._aside: set[asyncio.Task[None]] = set()
        self.timers = Timers(codec, producer, context.commands_topic, self._partitions, self._still_open)
        self._lanes = Lanes(self._handler_of, self.crash)
        self.app = self._build()

    def _build(self) -> faust.App:
        servers = address(self._settings, "kafka")
        session = self._settings.session_timeout
        app = faust.App(
            self.context.group,
            broker=[f"kafka://{server}" for server in servers.split(",")],
            agent_supervisor=mode.CrashingSupervisor,
            broker_commit_interval=1.0,
            broker_heartbeat_interval=session / 4,
            broker_max_poll_records=2000,
            broker_session_timeout=session,
            consumer_auto_offset_reset="earliest",
            datadir=str(self._settings.home / "faust"),
            stream_wait_empty=False,
            table_standby_replicas=0,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
        )
        transport = BatchTransport(app.conf.broker_consumer, app)
        app.transport = transport
        cast(BatchConsumer, app.consumer).position_of = self._position
        raw: dict[str, Any] = {
            "key_type": bytes,
            "value_type": bytes,
            "key_serializer": "raw",
            "value_serializer": "raw",
        }
        app.agent(app.topic(self.context.commands_topic, **raw), name=f"{self.context.name}.decide")(self._receive)
        if self._heard:
            app.agent(app.topic(*self._heard, **raw), name=f"{self.context.name}.react")(self._receive)
        cast(Any, app.on_rebalance_complete).connect(self._barrier)
        cast(Any, app.on_partitions_revoked).connect(self._revoked)
        return app

    def use(self, effects: EffectRunner) -> None:
        self._effects = effects

    async def _receive(self, stream: Any) -> None:
        async for event in stream.noack().events():
            await self._lanes.put(event.message.tp, event)

    def _handler_of(self, tp: TP) -> Callable[[Any], Awaitable[None]]:
        apply = self.writers[tp.partition].handle if tp.topic == self.context.commands_topic else self._react

        async def handle(event: Any) -> None:
            if event.message.generation_id == self.app.consumer_generation_id:
                await apply(event.value)
                event.ack()

        return handle

    async def _react(self, records: list[Any]) -> None:
        commands = list(commands_from(self.context, self._codec, records))
        if commands:
            await until_known(
                lambda: self._producer.send(self.context.commands_topic, addressed(commands, self._partitions))
            )

    def _position(self, tp: TP) -> int | None:
        if tp.topic == self.context.commands_topic and tp.partition in self.writers:
            return self.writers[tp.partition].aggregates.cursor
        return None

    async def _revoked(self, app: faust.App, revoked: set[TP], **_: Any) -> None:
        await self._lanes.close()

    async def _barrier(self, app: faust.App, **_: Any) -> None:
        """Nothing is decided before everything decided so far is folded. An error here ends the process."""
        await self._lanes.close()
        owned = {tp.partition for tp in app.consumer.assignment() if tp.topic == self.context.commands_topic}
        gone = self.writers.keys() - owned
        if self._effects:
            await self._effects.stop(list(gone))
        for number in gone:
            self._snapshots.pop(number).close()
            self.writers.pop(number).aggregates.unread.clear()  # whoever settles it has nothing left to do
        for number in owned - self.writers.keys():
            aggregates = Aggregates(
                self.context, self._codec, number, self._partitions, self._settings.dedupe_days * DAY_MS
            )
            snapshot = self._snapshots[number] = Snapshot(
                self._settings.home / "snapshots" / self.context.name,
                self._code,
                number,
                self._partitions,
                self._topic_id,
            )
            snapshot.open()
            await asyncio.to_thread(snapshot.load, aggregates)
            self.writers[number] = Writer(aggregates, self._event_log, self._producer, self._opened)
        resumed = {p: writer.aggregates.next_offset for p, writer in sorted(self.writers.items())}
        await asyncio.gather(*(writer.catch_up() for writer in self.writers.values()))
        self._lanes.open()
        for number, writer in self.writers.items():
            if writer.aggregates.unread:
                self._run_aside(writer.settle(), f"settle {number}")
        folded = {p: writer.aggregates.next_offset for p, writer in sorted(self.writers.items())}
        _log.info("ready", context=self.context.name, partitions=folded, resumed=resumed)

    def _opened(self, intents: Sequence[Intent]) -> None:
        self.timers.set([intent for intent in intents if isinstance(intent.wanted, Due)])
        if self._effects:
            self._effects.start([intent for intent in intents if not isinstance(intent.wanted, Due)])

    def _still_open(self, intent: Intent) -> bool:
        writer = self.writers.get(intent.partition)
        open_ = writer.aggregates.intents.get(intent.place) if writer else None
        return open_ is not None and open_.key == intent.key

    async def tail(self) -> None:
        """See what a zombie appended while this owner had nothing to write."""
        while True:
            await asyncio.sleep(TAIL_SECONDS)
            try:
                ends = await self._event_log.ends(self.writers)
            except Unknown as error:
                _log.warning("log unreachable", context=self.context.name, error=str(error))
                continue
            for number, end in ends.items():
                if writer := self.writers.get(number):
                    await writer.catch_up(end)

    def tell(self, circuit: Circuit) -> None:
        """Let whoever asks for the status know of a circuit that changed."""
        self._run_aside(_publish(self._producer, self.context, circuit), "circuit")

    def _run_aside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._aside.add(task)
        task.add_done_callback(self._done_aside)

    def _done_aside(self, task: asyncio.Task[None]) -> None:
        self._aside.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.crash(error)

    async def take_snapshots(self) -> None:
        """Every now and then, so that a restart folds only what came since."""
        while True:
            await asyncio.sleep(SNAPSHOT_SECONDS)
            await self._save()

    async def _save(self) -> None:
        for number, snapshot in list(self._snapshots.items()):
            if writer := self.writers.get(number):
                await save(writer.aggregates, snapshot)

    def crash(self, error: BaseException) -> None:
        self._crashing = asyncio.ensure_future(self.app.crash(error))

    async def stop(self) -> None:
        await self._lanes.close()
        if self._effects:
            await self._effects.stop()
        for task in self._aside:
            task.cancel()
        await self._save()
        for snapshot in self._snapshots.values():
            snapshot.close()
        async with asyncio.timeout(20):
            await self.app.stop()


async def run(
    mesh: Mesh, context: Context, settings: Settings, started: Callable[[Worker], None] = lambda worker: None
) -> None:
    """Run one context until cancelled; an error nobody planned for is raised, and the log is untouched."""
    async with AsyncExitStack() as stack:
        producer, reader = await stack.enter_async_context(connected(address(settings, "kafka"), context.name))
        log = KafkaEventLog(context.events_topic, producer, reader)
        ids = await asyncio.to_thread(reading.topic_ids, address(settings, "kafka"), [context.events_topic])
        worker = Worker(mesh, context, settings, producer, log, ids[context.events_topic])
        if context.connect:
            perform = await stack.enter_async_context(context.connect(settings))
            circuits = Circuits(worker.tell)
            partitions = context.partition_count(settings)
            worker.use(EffectRunner(context, mesh.codec, perform, producer, partitions, worker.crash, circuits))
        started(worker)
        await stack.enter_async_context(_stopped_at_end(worker))
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.tail())
            group.create_task(worker.timers.run())
            group.create_task(worker.take_snapshots())
            group.create_task(_watch(worker))


async def _publish(producer: Producer, context: Context, circuit: Circuit) -> None:
    """A circuit nobody hears of works all the same."""
    log = _log.info if circuit.state == "closed" else _log.warning
    log("circuit", context=context.name, target=circuit.target, state=circuit.state)
    try:
        await producer.send(CIRCUITS_TOPIC, [(0, circuit_record(context.name, circuit))])
    except Unknown as error:
        _log.warning("circuit not published", context=context.name, error=str(error))


async def _watch(worker: Worker) -> None:
    await worker.app.start()
    while not worker.app.should_stop:
        await asyncio.sleep(0.2)
    raise worker.app.crash_reason or RuntimeError(f"the Faust application of {worker.context.name} stopped by itself")


@asynccontextmanager
async def _stopped_at_end(worker: Worker) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await worker.stop()
