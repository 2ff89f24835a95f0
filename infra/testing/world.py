"""A whole mesh in one thread, from one seed, in the code that runs in production, while everything fails that can.

Kafka, the clock, timers, randomness and the outside are twins; Writer, reactions, effects, circuits, timers, lanes, parking
and the barrier are what they are, and from which length on a log is only taken in, or a batch coded by the column, is drawn
for each world. Processes are killed (between any two callbacks: at every await), stand still and come back as zombies,
appends are lost, late and repeated, groups are shuffled, clocks jump, deciders raise, strangers post what is no command,
topics of commands are made anew, cut, written over, or lose their beginning. Then the faults end, one process a context at
least is at work, somebody sends again or discards what waits, and accepts what is said to stand still; and when nothing
moves any more the laws have to hold.

A process has a disk that outlasts it, but for the newest of what it wrote, or another one, or a new one; some have memory
for nothing.

What is not run: Faust, Kafka's own protocol and RocksDB, of which Node, MemoryKafka and MemoryDisk are twins; the loss of
events, and of what a context asks itself; topics that grow, a policy that raises; the read side, and all of the edge.
"""

import asyncio
import gc
import math
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import structlog

from infra.kafka.log import addressed
from infra.kafka.memory import MARK, MemoryKafka, without_marks
from infra.kafka.topics import EFFECTS_TOPIC, HEARD_TOPIC, STOPPED_TOPIC
from infra.mesh import Mesh
from infra.messages import Due
from infra.model.context import Aggregate, Attempt, Context, Perform
from infra.settings import DAY_MS
from infra.testing import clerk
from infra.testing.disk import MemoryDisk
from infra.testing.facts import Known, Partition, kept_as, partitions_of, ways
from infra.testing.loop import VirtualLoop, run
from infra.testing.node import RUNNING, Faults, Node
from infra.testing.strangers import noise
from infra.wire.columns import FEW
from infra.wire.envelope import ID, CommandName
from infra.wire.record import Outgoing, Read
from infra.write.owner import TRIES_SECONDS
from infra.write.reactions import outgoing_command
from infra.write.state import Budget
from infra.write.tries import ALL, again_record, states
from infra.write.watch import standing_still
from infra.write.writer import Bounds

PARTITIONS = 2
TRANSACTION_S = 5.0  # it is open at most
QUIET_S = 11.0  # without anybody appending anything: nobody pauses longer before he tries again
PATIENCE_S = 400.0
NEAR_MS = 3000  # as far as clocks that are right differ
NEAR_S = 60.0  # a deadline that is further away is not waited for

Outside = Callable[[Any, str], Awaitable[Any]]
Story = Callable[["World"], Awaitable[None]]


@dataclass(frozen=True)
class Cut:
    """A topic lost what was behind `start`, when a log had decided it up to `decided`, and ended there."""

    place: tuple[str, int]
    start: int
    decided: int
    events_end: int


@dataclass
class World:
    """`outside` performs each context's intents, `node` is the kind of process; `violations` what was broken on the way."""

    mesh: Mesh
    seed: int
    outside: Mapping[str, Outside] = field(default_factory=dict)
    node: type[Node] = Node
    gentle: bool = False

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.loop = VirtualLoop()
        self.broker_skew_ms = 0
        self.kafka = MemoryKafka(
            PARTITIONS, self._broker_now, lambda topic: topic.partition(".")[2].startswith("events")
        )
        self.faults = _faults(self.dice, self.gentle)
        self.is_broker_ahead = self.dice.random() < 0.5  # when a clock is far ahead, else a process's
        self.is_losing = self.dice.random() < 0.35  # a broker that loses commands is a rare one
        self.bounds, few = _bounds(self.dice, self.gentle)
        self.memory = math.inf if self.gentle else self.dice.choice((math.inf, 10_000, 0))
        self.disks = {name: [MemoryDisk(), MemoryDisk()] for name in self.mesh.contexts}
        self._as_run = self._fallible(self.mesh.coded_by(self.mesh.codec.by_column_from(few)))
        self.nodes: dict[str, list[Node]] = {name: [] for name in self.mesh.contexts}
        self.generations: dict[str, int] = dict.fromkeys(self.mesh.contexts, 0)
        self.failures: list[tuple[str, BaseException]] = []
        self.done: dict[str, Any] = {}  # what was done outside: the outcome, by idempotency key
        self.schedule: list[str] = []
        self.cuts: list[Cut] = []
        self.resting = False
        self._asked_again: dict[str, float] = {}
        self._made = 0
        self._noises = 0
        self._said: tuple[int, list[Partition]] = (-1, [])
        self._known: Known = {}
        self._kills: list[tuple[int, Node]] = []

    def _fallible(self, mesh: Mesh) -> Mesh:
        """The same, whose deciders raise now and then; what they should have said is still what the world's own mesh says."""
        for context in mesh.contexts.values():
            mesh = mesh.having(replace(context, aggregates=tuple(map(self._failing, context.aggregates))))
        return mesh

    def _failing(self, aggregate: Aggregate) -> Aggregate:
        def decide(command: Any, state: Any) -> Iterator[Any]:
            for event in aggregate.decide(command, state):
                if self.faults.failing and self.dice.random() < self.faults.failing:
                    raise ArithmeticError("a bug, for as long as the faults last")
                yield event

        return replace(aggregate, decide=decide)

    def _broker_now(self) -> int:
        return self.loop.now_ms + self.broker_skew_ms

    def say(self, what: str) -> None:
        """A line of the schedule, which a failing seed prints."""
        self.schedule.append(f"{self.loop.now:9.3f}  turn {self.loop.turns:6}  {what}")

    # -- the whole story

    def play(self, story: Story) -> None:
        """Run it to the end; the laws may be asked then."""
        random.seed(self.seed)  # pauses and jitter come from here too
        with structlog.testing.capture_logs():
            run(self.loop, self._play(story))
        for node in (node for nodes in self.nodes.values() for node in nodes):
            node.tasks.clear()
        gc.unfreeze()  # a recovery takes what there is out of the collector's sight, here the worlds of before as well

    async def _play(self, story: Story) -> None:
        self.loop.owned, self.loop.interrupt = _owned, self._kill_due
        for name in self.nodes:
            for _ in range(self.dice.randint(1, 2)):
                self._begin(name)
            self.shuffle(name)
        self._troubling = asyncio.create_task(self._trouble())
        await story(self)
        await self.rest()

    async def rest(self, *, outside_is_up: bool = True) -> None:
        """The faults end, everybody comes back, and all is done that is to be done; new faults do not come by themselves.

        What is wanted of an outside that is away is not waited for.
        """
        self.say("the faults end")
        self._troubling.cancel()
        self.faults.over()
        self.broker_skew_ms = min(self.broker_skew_ms, NEAR_MS)
        self._kills.clear()
        for name in self.nodes:
            self._come_back(name)
        deadline = self.loop.now + PATIENCE_S
        appends, since = -1, self.loop.now
        while self.loop.now < deadline:
            await asyncio.sleep(1)
            self._restart()
            stands_still = self.accept_lost()
            self._try_again()
            if self.kafka.appends != appends or self.sort_out() or stands_still or self._open(outside_is_up):
                appends, since = self.kafka.appends, self.loop.now
            elif self.loop.now - since >= QUIET_S:
                break
        self.resting = True
        self.say("at rest" if self.loop.now < deadline else "never at rest")

    def _come_back(self, name: str) -> None:
        """A group that knows all of its members, as they know it, need not be shuffled."""
        nodes = self.nodes[name]
        is_whole = bool(nodes) and all(not n.frozen and n.offered == self.generations[name] for n in nodes)
        for node in nodes:
            node.frozen = False
        if not nodes:
            self._begin(name)
        if not is_whole or self.dice.random() < 0.5:
            self.shuffle(name)

    def _open(self, outside_is_up: bool) -> bool:
        """Whether by the log any state wants something of the outside, or soon of the clock."""
        soon = self.kafka.now() + NEAR_S * 1000
        return any(
            wish.at + 1000 * wish.wanted.after_s < soon if isinstance(wish.wanted, Due) else outside_is_up
            for partition in self.partitions()
            for wish in partition.fold.wishes.values()
        )

    def partitions(self) -> list[Partition]:
        """What all logs say, by themselves."""
        if self._said[0] != self.kafka.appends:
            self._said = (self.kafka.appends, partitions_of(self.mesh, self.kafka, self._known))
        return self._said[1]

    # -- who runs

    def _begin(self, name: str) -> Node:
        self._made += 1
        context = self._as_run.context(name)
        made = self.node(
            self._as_run,
            context,
            f"{name}-{self._made}",
            self.kafka,
            self.faults,
            self.dice,
            self._performer(name) if context.connect else None,
            self._failed,
            self.bounds,
            self.disks[name][0] if self.gentle else self.dice.choice((*self.disks[name], MemoryDisk())),
            Budget(self.memory),
        )
        self.nodes[name].append(made)
        made.start()
        self.say(f"{made.name} begins")
        return made

    def _performer(self, name: str) -> Perform[Any, Any] | None:
        """The outside of a context: each key is done once, and asked again answers as it did."""
        outside = self.outside.get(name)
        if outside is None:
            return None

        async def perform(intent: Any, attempt: Attempt) -> Any:
            key = attempt.key
            if key not in self.done:
                self.done[key] = await outside(intent, key)
                self.say(f"done outside: {key} {intent}")
            return self.done[key]

        return perform

    def _failed(self, node: Node, error: BaseException) -> None:
        self.say(f"{node.name} fails: {error!r}")
        self.failures.append((node.name, error))
        self._gone(node)

    def _gone(self, node: Node) -> None:
        nodes = self.nodes[node.context.name]
        if node in nodes:
            nodes.remove(node)

    def kill(self, node: Node) -> None:
        if node.alive:
            self.say(f"{node.name} is killed")
            node.kill()
            self._gone(node)
            self.shuffle(node.context.name)

    def _kill_due(self) -> None:
        while self._kills and self._kills[0][0] <= self.loop.turns:
            self.kill(self._kills.pop(0)[1])
        self.loop.interrupt_at = self._kills[0][0] if self._kills else math.inf

    def _restart(self) -> None:
        for name, nodes in self.nodes.items():
            if not nodes:
                self._begin(name)
                self.shuffle(name)

    def shuffle(self, name: str) -> None:
        """The group gives its partitions out anew, to those it hears of."""
        context = self.mesh.context(name)
        present = [node for node in self.nodes[name] if not node.frozen]
        self.generations[name] += 1
        together = [[context.commands_topic, context.own_topic], *([t] for t in self.mesh.heard_topics(context))]
        given: dict[Node, list[tuple[str, int]]] = {node: [] for node in present}
        for topics in together:
            for number in range(PARTITIONS):
                if present:
                    given[self.dice.choice(present)] += [(topic, number) for topic in topics]
        for node, places in given.items():
            node.assign(self.generations[name], places, lambda: self.generations[name])

    # -- what people do

    def post(self, command: Any, identity: str) -> None:
        """A producer's command, on the right partition most of the time; sometimes its producer sends it twice."""
        record = outgoing_command(self.mesh.codec, command, identity)
        for _ in range(1 if self.gentle or self.dice.random() < 0.9 else 2):
            ((right, _),) = addressed([record], PARTITIONS)
            where = right if self.gentle or self.dice.random() < 0.9 else self.dice.randrange(PARTITIONS)
            place = (self.mesh.owner(type(command)).commands_topic, where)
            if self.gentle or self.dice.random() < 0.8:
                self.kafka.append(*place, [record])
                continue
            while self.dice.random() < 0.3:
                self._transact(place, [record], is_aborted=True)
            self._transact(place, [record], is_aborted=False)
        self.say(f"asked {identity}: {command}")

    def _transact(self, place: tuple[str, int], records: Sequence[Outgoing], *, is_aborted: bool) -> None:
        """Post these in a transaction, which ends some time later."""
        transaction = self.kafka.begin(place, records)
        end = partial(self.kafka.end, place, transaction, is_aborted=is_aborted)
        self.loop.call_later(self.dice.random() * TRANSACTION_S, end)
        self.say(f"in {place[0]}/{place[1]} {transaction.start} is {'aborted' if is_aborted else 'committed'} later")

    def hear(self, command: Any, identity: str) -> None:
        """What the outside says by itself, as a webhook: now and then twice."""
        (addressed_record,) = addressed([outgoing_command(self.mesh.codec, command, identity)], PARTITIONS)
        where, record = addressed_record
        for _ in range(1 if self.gentle or self.dice.random() < 0.9 else 2):
            self.kafka.append(self.mesh.owner(type(command)).own_topic, where, [record])
        self.say(f"heard {identity}: {command}")

    def letters(self, partition: Partition) -> dict[tuple[bytes, CommandName], Read]:
        """What a partition keeps of what it could not process, by the key and what the command is called."""
        letters = reversed(self.kafka.log(partition.context.dead_topic, partition.number))
        return {kept_as(letter, partition.context): letter for letter in letters}

    def sort_out(self) -> bool:
        """Somebody looks after all that waits; whether there is any."""
        waiting = [partition for partition in self.partitions() if partition.fold.queues]
        for partition in waiting:
            for said, way, record in clerk.answers(partition, self.letters(partition), self.dice):
                self.say(said)
                ((right, _),) = addressed([record], PARTITIONS)
                self.kafka.append(ways(partition.context)[way], right, [record])
        return bool(waiting)

    async def leap(self, seconds: float) -> None:
        """So much time goes by at once, as if everybody had slept: whatever was due is due now."""
        self.loop.now += seconds
        await asyncio.sleep(0)

    async def while_(self, longest_s: float) -> None:
        """Some time goes by."""
        await asyncio.sleep(self.dice.random() * longest_s)

    # -- what goes wrong

    async def _trouble(self) -> None:
        if self.gentle:
            return
        pause = self.dice.choice((0.3, 1.0, 4.0))
        while True:
            await asyncio.sleep(self.dice.expovariate(1 / pause))
            self.dice.choice(
                (
                    self._kill_soon,
                    self._kill_soon,
                    self._freeze,
                    self._thaw,
                    self._shuffle_one,
                    self._jump,
                    self._lose_offsets,
                    self._intrude,
                    self._disturb,
                    self._disturb,
                    self._lose_commands if self.is_losing else self._disturb,
                    self.sort_out,
                    self.accept_lost,
                    self._begin_one,
                )
            )()
            self._restart()

    def _any(self) -> Node | None:
        nodes = [node for nodes in self.nodes.values() for node in nodes]
        return self.dice.choice(nodes) if nodes else None

    def _kill_soon(self) -> None:
        if node := self._any():
            self._kills.append((self.loop.turns + self.dice.randint(1, 400), node))
            self._kills.sort(key=lambda kill: kill[0])
            self.loop.interrupt_at = self._kills[0][0]

    def _freeze(self) -> None:
        if node := self._any():
            self.say(f"{node.name} stands still")
            node.frozen = True
            if self.dice.random() < 0.8:
                self.shuffle(node.context.name)

    def _thaw(self) -> None:
        for nodes in self.nodes.values():
            for node in nodes:
                if node.frozen:
                    self.say(f"{node.name} goes on")
                    node.frozen = False
                    if self.dice.random() < 0.8:
                        self.shuffle(node.context.name)

    def _shuffle_one(self) -> None:
        self.shuffle(self.dice.choice(list(self.nodes)))

    def _jump(self) -> None:
        """A process's clock, or the broker's, jumps: now and then far ahead, in one world always the one of them."""
        node, is_far = self._any(), self.dice.random() < 0.2
        if node and self.dice.random() < 0.7:
            is_far &= not self.is_broker_ahead
            node.skew_s = self.dice.uniform(30, 900) if is_far else self.dice.uniform(-4, 4)
            self.say(f"the clock of {node.name} is {node.skew_s:.0f} s ahead")
        else:
            is_far &= self.is_broker_ahead
            self.broker_skew_ms = self.dice.randint(NEAR_MS, DAY_MS) if is_far else self.dice.randint(-NEAR_MS, NEAR_MS)
            self.say(f"the broker's clock is {self.broker_skew_ms} ms ahead")

    def _lose_offsets(self) -> None:
        """Group offsets expire, or somebody moves them anywhere; positions of what was heard are lost, or moved back."""
        for context in self.mesh.contexts.values():
            for topic in (*ways(context).values(), *self.mesh.heard_topics(context)):
                for number in range(PARTITIONS):
                    if self.dice.random() < 0.5:
                        end = len(self.kafka.log(topic, number))
                        self.kafka.committed[context.group, topic, number] = self.dice.randint(0, end)
        heard = self.kafka.log(HEARD_TOPIC, 0)
        if self.dice.random() < 0.3:
            heard.clear()
        elif heard:
            older = self.dice.choice(heard)
            self.kafka.append(HEARD_TOPIC, 0, [Outgoing(older.key, older.value, [])])
        self.say("group offsets and positions are moved")
        self._shuffle_one()

    def _intrude(self) -> None:
        """Somebody writes into a log who has no business there."""
        context = self.dice.choice(list(self.mesh.contexts.values()))
        what, record = self.dice.choice((("junk", Outgoing(b"junk", b"junk", [])), ("a mark", MARK)))
        self.kafka.append(context.events_topic, self.dice.randrange(PARTITIONS), [record])
        self.say(f"{what} in {context.events_topic}")

    def _disturb(self, place: tuple[str, int] | None = None) -> None:
        """Somebody asks what is no command; anywhere, unless it is said where."""
        self._noises += 1
        context: Context = self.dice.choice(list(self.mesh.contexts.values()))
        asked = [
            record
            for topic in ways(context).values()
            for number in range(PARTITIONS)
            for record in without_marks(self.kafka.log(topic, number))
        ]
        record = noise(asked, f"noise-{self._noises}", self.dice)
        topic, number = place or (context.commands_topic, self.dice.randrange(PARTITIONS))
        if self.dice.random() < 0.8:
            self.kafka.append(topic, number, [record])
        else:
            self._transact((topic, number), [record], is_aborted=self.dice.random() < 0.5)
        self.say(
            f"noise-{self._noises} in {topic}/{number}: {record.key!r:.20} {record.value!r:.20} {record.headers!r:.90}"
        )

    def _lose_commands(self) -> None:
        """A topic of commands is made anew, loses its end, and others are written over it, or loses its beginning."""
        context: Context = self.dice.choice(list(self.mesh.contexts.values()))
        place = (context.commands_topic, self.dice.randrange(PARTITIONS))
        log = self.kafka.log(*place)
        end = len(log)
        what = self.dice.choice(("made anew", "cut", *3 * ["cut and written over"], "begins later"))
        if what == "made anew":
            self.kafka.make_anew(context.commands_topic)
        elif what == "begins later":
            self.kafka.delete_before(place, self.dice.randint(0, end))
        else:
            at = self.dice.randint(self.kafka.lows.get(place, 0), end)
            if not all(dict(record.headers).get(ID) for record in log[at:]):
                return  # another without an id could stand there, and nobody could tell them apart
            self.cuts.append(self._cut(context, place, at))
            self.kafka.cut(place, at)
        self.say(f"{place[0]}/{place[1]} is {what}, of {end}")
        while what == "cut and written over" and len(self.kafka.log(*place)) < end:
            self._disturb(place)

    def _cut(self, context: Context, place: tuple[str, int], at: int) -> Cut:
        (said,) = (p for p in self.partitions() if (p.context.name, p.number) == (context.name, place[1]))
        way = next(way for way, topic in ways(context).items() if topic == place[0])
        decided = max((fact.command_offset + 1 for fact in said.facts if fact.way is way), default=0)
        return Cut(place, at, decided, said.end)

    def accept_lost(self) -> bool:
        """Somebody looks after what is said to stand still, as `weft topics accept` does it; whether there is any."""
        said = standing_still(self.kafka.log(STOPPED_TOPIC, 0))
        for stopped in said:
            context = self.mesh.context(stopped["context"])
            place = (stopped["topic"], stopped["partition"])
            if word := clerk.word(self.mesh.codec, context, place, self.kafka):
                self.say(f"somebody accepts {place[0]}/{place[1]}")
                self.kafka.append(context.events_topic, place[1], [word])
        return bool(said)

    def _try_again(self) -> None:
        """Somebody looks after what is said to be parked, as `weft effects retry` does it."""
        for said in states(self.kafka.log(EFFECTS_TOPIC, 0)):
            name = said["context"]
            if said["parked"] and self.loop.now - self._asked_again.get(name, -math.inf) > 2 * TRIES_SECONDS:
                self._asked_again[name] = self.loop.now
                self.say(f"somebody wants what {name} has parked to be tried again")
                self.kafka.append(EFFECTS_TOPIC, 0, [again_record(name, ALL, self.kafka.now())])

    def _begin_one(self) -> None:
        name = self.dice.choice(list(self.nodes))
        if len(self.nodes[name]) < 3:
            self._begin(name)
            self.shuffle(name)


def _faults(dice: random.Random, gentle: bool) -> Faults:
    """Some worlds are kind, some are not; each is unkind in its own way."""
    if gentle:
        return Faults()
    level = dice.choice((0.0, 0.02, 0.08, 0.2))
    chances = {name: level * dice.random() for name in ("lost", "unanswered", "repeated", "late", "unreadable")}
    return Faults(
        **chances,
        before=level * dice.random(),
        after=level * dice.random(),
        failing=dice.choice((0.0, level)),
        slow_s=dice.choice((0.02, 0.2)),
        nonsense=dice.choice((0.0, 0.5)),
    )


def _bounds(dice: random.Random, gentle: bool) -> tuple[Bounds, int]:
    """From which length on a log is only taken in, and a batch is coded by the column: production's, or almost none.

    Folding takes no time here, so what is settled while others work is given some.
    """
    if gentle:
        return Bounds(), FEW
    small = (Bounds(far=4, settled_at_once=1, pause_s=0.1), Bounds(far=12, settled_at_once=3, pause_s=0.2))
    return dice.choice((Bounds(), *small)), dice.choice((FEW, FEW, 3))


def _owned(task: asyncio.Task[Any]) -> None:
    """Every task belongs to the process that made it, and dies with it."""
    if node := RUNNING.get():
        node.tasks.append(task)
        if not node.alive:
            task.cancel()
