"""One bounded context as a genuine Faust application.

Faust gives group membership, assignment, rebalancing, supervision and the life cycle; what is done with a partition is the
owner's (infra/write/owner.py).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, cast

import faust
import mode
from faust.types import TP

from infra.kafka import reading
from infra.kafka.inbound import Gauged, gauging
from infra.kafka.log import KafkaEventLog, connected, until_known
from infra.kafka.topics import heard_positions, tried_effects
from infra.mesh import Mesh
from infra.model.context import Context
from infra.model.needs import needed
from infra.settings import Settings, address
from infra.write.admission import Admission
from infra.write.host.batches import BatchConsumer, BatchTransport
from infra.write.lanes import Delivery, Place
from infra.write.owner import Owner
from infra.write.state import Budget
from infra.write.store import Disk

FULL, ROOM = 8, 4  # batches of a partition that wait, until no more of it is fetched, and until there is again
STALLED_S = 120.0  # twice what a group waits for those who have to join it again
METADATA_MS = 10_000  # a topic that is made again is nobody's until its group hears of it


class Stalled(Exception):
    """Partitions are held and not read: whoever starts anew reads them."""


class Worker:
    """The Faust application of one context in this process, and the owner it serves."""

    def __init__(
        self, settings: Settings, heard: list[str], topics: Gauged, owner_of: "Callable[[Worker], Owner]"
    ) -> None:
        self.owner = owner_of(self)
        self._topics = topics
        self._is_at_barrier = False
        self.app = _application(settings, self.owner.context)
        self._consumer.position_of = lambda tp: self.owner.position((tp.topic, tp.partition))
        self._listen("decide", self.owner.context.commands_topic)
        self._listen("decide own", self.owner.context.own_topic)
        if heard:
            self._listen("react", *heard)
        cast(Any, self.app.on_rebalance_complete).connect(self._assigned)
        cast(Any, self.app.on_partitions_revoked).connect(self._revoked)

    def _listen(self, name: str, *topics: str) -> None:
        raw: dict[str, Any] = dict.fromkeys(("key_type", "value_type"), bytes) | dict.fromkeys(
            ("key_serializer", "value_serializer"), "raw"
        )
        self.app.agent(self.app.topic(*topics, **raw), name=f"{self.owner.context.name}.{name}")(self._receive)

    async def _receive(self, stream: Any) -> None:
        async for event in stream.noack().events():
            tp = event.message.tp
            is_current = partial(self._is_current, event.message.generation_id, tp, event.value.reading)
            place = (tp.topic, tp.partition)
            self.owner.lanes.put(place, Delivery(event.value, is_current, partial(self._handled, tp, event.ack)))
            if self.owner.lanes.depth(place) >= FULL:
                self._consumer.hold(tp)

    def _handled(self, tp: TP, acknowledge: Callable[[], object]) -> None:
        acknowledge()
        if self.owner.lanes.depth((tp.topic, tp.partition)) <= ROOM:
            self._consumer.go_on(tp)

    def _is_current(self, generation: int, tp: TP, reading: int) -> bool:
        return bool(generation == self.app.consumer_generation_id and reading == self._consumer.reading(tp))

    @property
    def _consumer(self) -> BatchConsumer:
        return cast(BatchConsumer, self.app.consumer)

    async def reread(self, place: Place) -> None:
        """Read a partition from where the owner says that it goes on."""
        self._consumer.reread(TP(*place))

    async def _revoked(self, app: faust.App, revoked: set[TP], **_: Any) -> None:
        await self.owner.revoked()

    async def _assigned(self, app: faust.App, **_: Any) -> None:
        self._is_at_barrier = True
        try:
            await self.owner.assigned(await self._numbers(app.consumer.assignment()))
        except Exception as error:  # Faust would end what called this, and go on without it
            self.crash(error)
            raise
        finally:
            self._is_at_barrier = False

    async def _numbers(self, places: Collection[TP]) -> set[int]:
        """The partitions of the log that were given to this process: topics of as many partitions are given out together.

        One of the two that is gone is given to nobody, and one that was made anew with more or fewer than its log has apart
        from the other: that one says nothing then, and the owner says what is wrong with it.
        """
        context = self.owner.context
        topics = (context.commands_topic, context.own_topic)
        given = {topic: {tp.partition for tp in places if tp.topic == topic} for topic in topics}
        counts: dict[str, int] = {}

        async def count() -> None:
            counts.update(await self._topics.partitions(topics))

        if given[topics[0]] != given[topics[1]]:
            await until_known(count)
        return numbers(given, counts, self.owner.partitions)

    def crash(self, error: BaseException) -> None:
        self._crashing = asyncio.ensure_future(self.app.crash(error))

    async def watch(self) -> None:
        """Start, and raise what ended the application."""
        await self.app.start()
        loop = asyncio.get_running_loop()
        last = loop.time()
        while not self.app.should_stop:
            await asyncio.sleep(0.2)
            if self._is_at_barrier or not self.app.rebalancing:
                last = loop.time()
            elif (
                loop.time() - last > STALLED_S
            ):  # Faust takes some errors for a sign that it will be given partitions again
                raise Stalled(
                    f"{self.owner.context.name} was given partitions {STALLED_S:.0f} s ago and does not read them"
                )
        raise self.app.crash_reason or RuntimeError(
            f"the Faust application of {self.owner.context.name} stopped by itself"
        )

    async def stop(self) -> None:
        await self.owner.stop()
        async with asyncio.timeout(20):
            await self.app.stop()


def numbers(given: Mapping[str, set[int]], counts: Mapping[str, int], partitions: int) -> set[int]:
    """Which partitions of a log of so many are a process's, that was `given` these of its command topics.

    `counts` are how many those have that are there, if that matters: the topics that fit say it, and are one. If they are
    two all the same, the group is about to be told of one that fits again. If none does, nothing of either is decided, and of
    each place somebody has to say so.
    """
    if len(set(map(frozenset, given.values()))) == 1:
        return next(iter(given.values())) & set(range(partitions))
    fitting = [given[topic] for topic, count in counts.items() if count == partitions]
    others = [given[topic] & set(range(partitions)) for topic in counts]
    return set.intersection(*(fitting or others[:1])) if counts else set()


def _application(settings: Settings, context: Context) -> faust.App:
    session = settings.session_timeout
    app = faust.App(
        context.group,
        broker=[f"kafka://{server}" for server in address(settings, "kafka").split(",")],
        agent_supervisor=mode.CrashingSupervisor,
        broker_commit_interval=1.0,
        broker_heartbeat_interval=session / 4,
        broker_max_poll_records=2000,
        broker_session_timeout=session,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=METADATA_MS,
        datadir=str(settings.home / "faust"),
        stream_wait_empty=False,
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )
    app.transport = BatchTransport(app.conf.broker_consumer, app)
    return app


async def run(
    mesh: Mesh,
    context: Context,
    settings: Settings,
    disk: Disk,
    budget: Budget,
    admission: Admission | None = None,
    started: Callable[[Owner], None] = lambda owner: None,
) -> None:
    """Run one context until cancelled; an error nobody planned for is raised, and the log is untouched."""
    needs = needed(settings, context.needs)
    async with AsyncExitStack() as stack:
        servers = address(settings, "kafka")
        producer, reader = await stack.enter_async_context(connected(servers, context.name))
        heard = mesh.heard_topics(context)
        topics = [context.events_topic, context.own_topic, *heard]
        topic_ids = await asyncio.to_thread(reading.topic_ids, servers, topics)
        perform = await stack.enter_async_context(context.connect(needs)) if context.connect else None

        command_topics = Gauged(stack.enter_context(gauging(servers)), servers)

        def owner_of(worker: Worker) -> Owner:
            return Owner(
                mesh,
                context,
                context.partition_count(settings),
                settings.dedupe_ms,
                KafkaEventLog(context.events_topic, producer, reader),
                producer,
                worker.crash,
                topic_ids,
                partial(asyncio.to_thread, heard_positions, settings),
                command_topics,
                worker.reread,
                disk,
                budget,
                admission=admission,
                keep_ms=settings.decided_ms,
                tried=partial(asyncio.to_thread, tried_effects, settings),
            )

        worker = Worker(settings, heard, command_topics, owner_of)
        if perform:
            worker.owner.perform_with(perform)
        started(worker.owner)
        await stack.enter_async_context(_stopped_at_end(worker))
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.owner.run())
            group.create_task(worker.watch())


@asynccontextmanager
async def _stopped_at_end(worker: Worker) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await worker.stop()
