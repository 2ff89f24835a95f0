"""A simulated process of one context: the owner as it is, and the ports by which it reaches a world that fails it.

Everything a process does passes its ports: there it takes time, is lost, comes twice or late, waits while the process
stands still, and ends when it is killed. What was on its way then may arrive all the same.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from functools import partial
from random import Random
from typing import Any

from infra.errors import LogDamaged, Unknown
from infra.kafka.inbound import Seen, Unanswered
from infra.kafka.marks import Settled
from infra.kafka.memory import MemoryKafka, without_marks
from infra.kafka.topics import EFFECTS_TOPIC, HEARD_TOPIC
from infra.mesh import Mesh
from infra.model.context import Attempt, Context, Perform
from infra.settings import DAY_MS
from infra.testing.disk import MemoryDisk, ProcessDisk
from infra.testing.loop import BEGUN_MS
from infra.wire.limits import MAX_POSTED_BYTES
from infra.wire.record import Outgoing, Read
from infra.write.lanes import Delivery, Place
from infra.write.owner import Owner
from infra.write.state import Budget
from infra.write.writer import Bounds

COMMIT_S = 1.0  # at most
RUNNING: ContextVar["Node | None"] = ContextVar("RUNNING", default=None)


@dataclass
class Faults:
    """How likely each of them is, whenever it could happen."""

    lost: float = 0.0  # an append or a post never arrives
    unanswered: float = 0.0  # it arrives, and nobody says so
    repeated: float = 0.0  # it arrives twice: a client's retry
    late: float = 0.0  # it arrives when nobody waits for it any more
    unreadable: float = 0.0  # the log cannot be reached
    before: float = 0.0  # the outside fails before it does anything
    after: float = 0.0  # it does it, and its answer is lost
    nonsense: float = 0.0  # it does it, and what comes back is none
    failing: float = 0.0  # a decider raises instead of saying its next event
    slow_s: float = 0.02  # what anything takes at most

    def over(self) -> None:
        """From now on nothing fails."""
        for name in vars(self):
            setattr(self, name, 0.0)
        self.slow_s = 0.02


class Port:
    """A process's way to its events topic and to any topic it posts to; the twin of KafkaEventLog and Producer."""

    def __init__(self, node: "Node", topic: str) -> None:
        self.node = node
        self.topic = topic
        self.kafka = node.kafka
        self.faults = node.faults
        self.dice = node.dice

    async def passes(self) -> None:
        """Time goes by, as long as the process stands still; a dead one never comes back."""
        await asyncio.sleep(self.dice.random() * self.faults.slow_s)
        while self.node.frozen:
            await asyncio.sleep(0.25)
        if not self.node.alive:
            raise asyncio.CancelledError

    def unlucky(self, chance: float) -> bool:
        return chance > 0 and self.dice.random() < chance

    def log(self, partition: int) -> list[Read]:
        return self.kafka.log(self.topic, partition)

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        await self.passes()
        if self.unlucky(self.faults.unreadable):
            raise Unknown("the log is away")
        return {p: len(self.log(p)) for p in partitions}

    async def read(self, partition: int, start: int, end: int) -> AsyncIterator[Sequence[Read]]:
        while start < end:
            await self.passes()
            if self.unlucky(self.faults.unreadable):
                raise Unknown("the log is away")
            if len(self.log(partition)) < end:
                raise LogDamaged(f"{self.topic}/{partition} ends at {start}, not at {end}")
            position = min(end, start + self.dice.randint(1, 20))
            if records := without_marks(self.log(partition)[start:position]):
                yield records
            start = position

    async def look(self, places: Collection[Place], at: Mapping[Place, int]) -> dict[Place, Seen]:
        await self.passes()
        if self.unlucky(self.faults.unreadable):
            raise Unknown("the command topics are away")
        found = self.kafka.look(places, at)
        return {p: Unanswered("no leader") if self.unlucky(self.faults.unreadable) else f for p, f in found.items()}

    async def settled(self, place: Place, start: int, end: int) -> Settled:
        await self.passes()
        if self.unlucky(self.faults.unreadable):
            raise Unknown("the command topics are away")
        return self.kafka.settled(place, start, end)

    async def first_since(self, places: Collection[Place], at_ms: int) -> dict[Place, int]:
        await self.passes()
        return {place: self.kafka.first_since(place, at_ms) for place in places}

    async def delete_before(self, offsets: Mapping[Place, int], topic_ids: Mapping[str, str]) -> None:
        await self.passes()
        for place, offset in offsets.items():
            if self.kafka.topic_id(place[0]) == topic_ids[place[0]]:
                self.kafka.delete_before(place, offset)

    async def heard(self) -> list[Read]:
        await self.passes()
        if self.unlucky(self.faults.unreadable):
            raise Unknown("the positions are away")
        return list(self.kafka.log(HEARD_TOPIC, 0))

    async def tried(self) -> list[Read]:
        await self.passes()
        if self.unlucky(self.faults.unreadable):
            raise Unknown("what was tried in vain is away")
        return list(self.kafka.log(EFFECTS_TOPIC, 0))

    async def append(self, partition: int, records: Sequence[Outgoing]) -> int:
        return await self._deliver(partial(self.kafka.append, self.topic, partition, records))

    async def send(self, topic: str, records: Iterable[tuple[int, Outgoing]]) -> None:
        by_partition: dict[int, list[Outgoing]] = {}
        for partition, record in records:
            by_partition.setdefault(partition, []).append(record)
            if (
                topic in (self.node.context.commands_topic, self.node.context.own_topic)
                and record.size() > MAX_POSTED_BYTES
            ):
                raise Unknown("it is too large")
        for partition, batch in by_partition.items():
            await self._deliver(partial(self.kafka.append, topic, partition, batch))

    async def _deliver(self, land: Callable[[], int]) -> int:
        """Whether it lands, and whether anybody learns of it."""
        await self.passes()
        if self.unlucky(self.faults.lost):
            raise Unknown("never arrived")
        if self.unlucky(self.faults.late):
            asyncio.get_running_loop().call_later(self.dice.random() * 3, land)
            raise Unknown("nobody knows")
        base = land()
        if self.unlucky(self.faults.repeated):
            base = self.dice.choice((base, land()))
        await self.passes()
        if self.unlucky(self.faults.unanswered):
            raise Unknown("the answer was lost")
        return base


class Node:
    """One process. `perform` is what the outside does for it; `failed` hears of an error that ended it."""

    port: type[Port] = Port
    owner: type[Owner] = Owner
    disk_kind: type[ProcessDisk] = ProcessDisk

    def __init__(
        self,
        mesh: Mesh,
        context: Context,
        name: str,
        kafka: MemoryKafka,
        faults: Faults,
        dice: Random,
        perform: Perform[Any, Any] | None,
        failed: Callable[["Node", BaseException], None],
        bounds: Bounds,
        disk: MemoryDisk,
        budget: Budget,
    ) -> None:
        self.context = context
        self.name = name
        self.kafka = kafka
        self.faults = faults
        self.dice = dice
        self.alive = True
        self.frozen = False
        self.skew_s = 0.0
        self.offered = -1  # the generation of the group that it was last told of, and
        self.generation = -1  # the one it works in
        self.tasks: list[asyncio.Task[Any]] = []  # all it ever made
        self._told = failed
        self._assignments: asyncio.Queue[tuple[int, list[Place]]] = asyncio.Queue()
        self._fetching: list[asyncio.Task[None]] = []
        self._assigned: set[Place] = set()
        self._readings: dict[Place, int] = {}  # how often reading a place was begun anew
        self._acknowledged: dict[Place, int] = {}
        self._group_generation: Callable[[], int] = lambda: -1
        self.way = self.port(self, context.events_topic)
        self.disk = self.disk_kind(disk, self._turns, dice)
        topics = (context.own_topic, context.events_topic, *mesh.heard_topics(context))
        self.own = self.owner(
            mesh,
            context,
            kafka.partitions,
            30 * DAY_MS,
            self.way,
            self.way,
            self.fail,
            {topic: kafka.topic_id(topic) for topic in topics},
            self.way.heard,
            self.way,
            self.reread,
            self.disk,
            budget,
            tried=self.way.tried,
            now=self.clock,
            elapsed=self.elapsed,
            bounds=bounds,
        )
        if perform:
            self.own.perform_with(partial(self.attempt, perform))

    def clock(self) -> float:
        return BEGUN_MS / 1000 + self.elapsed() + self.skew_s

    def elapsed(self) -> float:
        return asyncio.get_running_loop().time()

    def start(self) -> None:
        """Begin to work, once partitions are assigned."""
        token = RUNNING.set(self)
        self._works = [asyncio.create_task(self._work(work)) for work in (self.own.run, self._join)]
        RUNNING.reset(token)

    async def _work(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """An error nobody planned for: the process ends."""
        if self.alive:
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            self.kill()
            self._told(self, error)

    def kill(self) -> None:
        self.alive = False
        self.disk.crash()
        made, self.tasks = self.tasks, []
        for task in made:
            task.cancel()  # if it is not done

    async def _turns(self) -> None:
        """A disk answers at once, or takes as long as anything."""
        if self.dice.random() < 0.2 or self.frozen:
            await self.way.passes()
        else:
            await asyncio.sleep(0)

    async def attempt(self, perform: Perform[Any, Any], intent: Any, attempt: Attempt) -> Any:
        await self.way.passes()
        if self.way.unlucky(self.faults.before):
            raise Unknown("the outside did not answer")
        outcome = await perform(intent, attempt)
        await self.way.passes()
        if self.way.unlucky(self.faults.after):
            raise Unknown("the outside's answer was lost")
        if self.way.unlucky(self.faults.nonsense):
            return self._nonsense(outcome)
        return outcome

    def _nonsense(self, outcome: Any) -> Any:
        """What no adapter should say: an error nobody planned for, no command, or one for another aggregate."""
        which = self.dice.randrange(4)
        if which == 0:
            raise self.dice.choice(
                (KeyError("outcome"), TypeError("NoneType"), ConnectionResetError(), RecursionError())
            )
        if which == 1:
            raise asyncio.CancelledError  # of its own
        if which == 2:
            return None
        subject = fields(outcome)[0].name
        return replace(outcome, **{subject: f"{getattr(outcome, subject)}-elsewhere"})

    # -- what Faust does for it

    def assign(self, generation: int, places: list[Place], current: Callable[[], int]) -> None:
        """The group was shuffled; the process learns of it when it gets to it."""
        self._group_generation = current
        self.offered = generation
        self._assignments.put_nowait((generation, places))

    async def _join(self) -> None:
        while True:
            generation, places = await self._assignments.get()
            await self.way.passes()
            self._acknowledged.clear()
            await self.own.revoked()
            self.generation = generation  # who fetched before it delivers once more, too late
            await self.own.assigned([number for topic, number in places if topic == self.context.commands_topic])
            self._assigned = set(places)
            self._acknowledged.clear()
            for place in places:
                self._begin_to_fetch(place)

    def _begin_to_fetch(self, place: Place) -> None:
        self._readings[place] = self._readings.get(place, 0) + 1
        fetch = partial(self._fetch, place, self.position(place), self.generation, self._readings[place])
        self._fetching.append(asyncio.create_task(self._work(fetch)))

    async def reread(self, place: Place) -> None:
        """Read a place from its position again; what was fetched of it before is dropped."""
        if place in self._assigned:
            self._begin_to_fetch(place)

    def position(self, place: Place) -> int:
        known = self.own.position(place)
        return self.kafka.committed.get((self.context.group, *place), 0) if known is None else known

    async def _fetch(self, place: Place, position: int, generation: int, reading: int) -> None:
        while Node.is_current(self, place, generation, reading):
            await self.kafka.beyond(place, position)
            await self.way.passes()
            if found := self.fetched(place, position):
                position = found[-1].offset + 1
            if records := without_marks(found):
                done = partial(self._acknowledge, place, position)
                is_current = partial(self.is_current, place, generation, reading)
                self.own.lanes.put(place, Delivery(records, is_current, done))

    def is_current(self, place: Place, generation: int, reading: int) -> bool:
        """Whether what was fetched in a generation, and in a reading of its place, is what comes next there.

        Both are those in which fetching began: what it finds after them is brought all the same, once and too late.
        """
        return self.generation == generation and self._readings[place] == reading

    def fetched(self, place: Place, position: int) -> Sequence[Read]:
        return self.kafka.read(place, position, self.dice.randint(1, 8))

    # As Faust 0.15.3 (transport/consumer.py: ack, _commit_offsets): an acknowledgement knows no generation, it counts for
    # the one that commits next, unless partitions were revoked or positions set (BatchConsumer.perform_seek) in between.
    # The broker refuses a commit of another generation than its own, and Faust one of a partition it does not have. A
    # batch that was never acknowledged keeps Faust from committing the next ones only sometimes; here it never does.

    def _acknowledge(self, place: Place, position: int) -> None:
        if not self._acknowledged:
            asyncio.get_running_loop().call_later(self.dice.random() * COMMIT_S, self._commit)
        self._acknowledged[place] = max(position, self._acknowledged.get(place, 0))

    def _commit(self) -> None:
        positions, self._acknowledged = self._acknowledged, {}
        if self.alive and not self.frozen and self.generation == self._group_generation():
            for place in positions.keys() & self._assigned:
                self.kafka.committed[(self.context.group, *place)] = positions[place]
