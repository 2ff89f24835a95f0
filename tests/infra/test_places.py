"""Reactions when logs grow, positions are lost and policies begin late: whatever is heard again, each is applied once.

The copies, the places, the marks and the decisions are those of the code that runs; who is heard when is drawn.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import pytest

from infra.messages import Begun
from infra.ops.growth import Target, asked_again, copy_of, first_records, is_copied, target_of
from infra.ops.keeping import of_itself
from infra.wire.envelope import EventEnvelope, Way
from infra.wire.inbound import Inbound
from infra.wire.record import Outgoing, Read, partition_of
from infra.write.aggregates import Aggregates
from infra.write.reactions import commands_from
from tests.counter.schemas.counter import Filled
from tests.infra.counter_log import CODEC, CONTEXT, NOW, decide_all, fresh

AT = ("own", 0)
NAMES = [CODEC.names[Filled]]


@dataclass
class Log:
    """An events topic; its name is its id."""

    topic: str
    partitions: list[list[Read]]

    def append(self, number: int, record: Outgoing) -> None:
        log = self.partitions[number]
        headers = tuple(record.headers)
        log.append(Read(self.topic, number, len(log), record.timestamp or 0, record.key, record.value, headers))

    def fill(self, key: str, number: int, carry_to: str, at: int) -> None:
        """A counter was filled."""
        envelope = EventEnvelope("counter", self.topic, number, NAMES)
        shared = envelope.command_part(key.encode(), b"c", b"c", Way.COMMANDS, 0, b"counter.Add")
        headers = envelope.headers(shared, NAMES[0].encode(), len(self.partitions[number]))
        event = Filled(counter_id=key, carry_to=carry_to)
        self.append(number, Outgoing(key.encode(), CODEC.encode(event), headers, at))

    def grown(self, topic: str, partitions: int, inbound: Iterable[Inbound] = (), begun: Iterable[str] = ()) -> "Log":
        """The copy of this log in another topic."""
        target, copy = Target(CONTEXT, topic, partitions), Log(topic, [[] for _ in range(partitions)])
        known = dict(enumerate(inbound))
        for number in range(partitions):
            for record in first_records(CODEC, self.topic, target, number, known.get(number, Inbound()), begun):
                copy.append(number, record)
        everything = [r for log in self.partitions for r in log if is_copied(CODEC, r)]
        for record in sorted(everything, key=lambda r: (r.timestamp, r.partition, r.offset)):
            number = target_of(record, partitions)
            copy.append(number, copy_of(record, len(copy.partitions[number]), self.topic))
        return copy


@dataclass
class Play:
    """A speaker, and a listener who decides what it asks itself because of that."""

    dice: random.Random
    speaker: Log = field(init=False)
    log: Log = field(init=False)
    owners: list[Aggregates] = field(init=False)
    own: list[list[Read]] = field(init=False)
    heard: dict[int, int] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    wanted: set[str] = field(default_factory=set)
    late: list[list[tuple[int, Outgoing]]] = field(default_factory=list)
    time: int = NOW

    def __post_init__(self) -> None:
        self.speaker = Log("s.1", [[] for _ in range(self.dice.randint(1, 3))])
        count = self.dice.randint(1, 3)
        self.log = Log("l.1", [[] for _ in range(count)])
        self.own = [[] for _ in range(count)]
        self._open()

    def _open(self) -> None:
        count = len(self.log.partitions)
        self.owners = [fresh(partitions=count, number=n) for n in range(count)]
        for owner, records in zip(self.owners, self.log.partitions, strict=True):
            owner.fold(records)

    def say(self, events: int) -> None:
        for _ in range(events):
            self.time += self.dice.choice((0, 0, 1))
            key, name = f"k{self.dice.randrange(12)}", f"t{len(self.wanted)}"
            self.wanted.add(name)
            self.speaker.fill(key, partition_of(key.encode(), len(self.speaker.partitions)), name, self.time)

    def hear(self, number: int) -> bool:
        """A batch of one partition; False if there is none."""
        log, start = self.speaker.partitions[number], self.heard.get(number, 0)
        batch = log[start : start + self.dice.randint(1, 3)]
        commands = list(commands_from(CONTEXT, CODEC, batch, self.speaker.topic))
        asked = [(partition_of(command.key or b"", len(self.owners)), command) for command in commands]
        for where, command in asked:
            self.ask(where, command)
        if self.dice.random() < 0.2:
            self.late.append(asked)  # it is there once more, by and by
        self.heard[number] = start + len(batch)
        return bool(batch)

    def ask(self, number: int, command: Outgoing) -> None:
        own, headers = self.own[number], tuple(command.headers)
        own.append(Read(CONTEXT.own_topic, number, len(own), self.time, command.key, command.value, headers))

    def decide(self, number: int) -> bool:
        """Some of what was asked in one partition; False if nothing is."""
        owner = self.owners[number]
        start = owner.cursors[Way.OWN]
        batch = self.own[number][start : start + self.dice.randint(1, 3)]
        if not batch:
            return False
        decision = decide_all(owner, batch)
        for record in decision.records:
            self.log.append(number, record)
        for posted in decision.forwards:
            self.ask(posted.partition, posted.forwarded())
        owner.cursors[Way.OWN] = start + len(batch)  # as far as it is read; the log says no more than it has answered
        return True

    def work(self, steps: int) -> None:
        for _ in range(steps):
            chance = self.dice.random()
            if chance < 0.1:
                self.lose()
            elif chance < 0.2 and self.late:
                for where, command in self.late.pop(self.dice.randrange(len(self.late))):
                    self.ask(where, command)
            elif chance < 0.55:
                self.hear(self.dice.randrange(len(self.speaker.partitions)))
            else:
                self.decide(self.dice.randrange(len(self.owners)))

    def lose(self) -> None:
        """Positions are lost, or moved back."""
        for number in list(self.heard):
            if self.dice.random() < 0.5:
                self.heard[number] = self.dice.randint(0, self.heard[number]) if self.dice.random() < 0.5 else 0

    def hear_all(self) -> None:
        for number in range(len(self.speaker.partitions)):
            while self.hear(number):
                pass

    def finish(self, sealed: Collection[int] = ()) -> None:
        self.hear_all()
        while any(self.decide(number) for number in range(len(self.owners)) if number not in sealed):
            pass

    def begin_now(self) -> None:
        ends = {n: len(log) for n, log in enumerate(self.speaker.partitions)}
        places = tuple(f"{self.speaker.topic}/{n}/{end}" for n, end in ends.items())
        for number, log in enumerate(self.log.partitions):
            event = of_itself(CODEC, Begun(places=places), CONTEXT, (self.log.topic, number), len(log), 0)
            self.log.append(number, event)
        self.heard, self.wanted, self.begun = ends, set(), set(places)
        self._open()

    def grow_speaker(self, listens: bool) -> None:
        if listens:
            self.hear_all()
        generation = int(self.speaker.topic[2:]) + 1
        self.speaker = self.speaker.grown(f"s.{generation}", len(self.speaker.partitions) + self.dice.randint(1, 3))
        ends = {n: len(log) for n, log in enumerate(self.speaker.partitions)}
        self.heard = ends if listens else {}

    def grow_listener(self, sealed: Collection[int] = ()) -> None:
        """Grow, if partitions were `sealed` before by who was interrupted, and the others worked on."""
        generation, count = int(self.log.topic[2:]) + 1, len(self.owners) + self.dice.randint(1, 3)
        self.finish(sealed)
        inbound = [Inbound() for _ in self.own]
        for way_in, own in zip(inbound, self.own, strict=True):
            way_in.pass_to(Way.OWN, len(own))
        left = [own[owner.cursors[Way.OWN] :] for own, owner in zip(self.own, self.owners, strict=True)]
        self.log = self.log.grown(f"l.{generation}", count, inbound, self.begun)
        self.own += [[] for _ in range(count - len(self.own))]
        for records in left:
            for record in records:
                self.ask(*asked_again(record, count))
        self._open()

    def applied(self) -> Counter[str]:
        states = {key.decode(): state for owner in self.owners for key, state in owner.states.items()}
        return Counter({name: states[name].carried for name in states})


@pytest.mark.parametrize("seed", range(300))
def test_each_reaction_is_applied_once_whatever_grows_and_whatever_positions_are_lost(seed: int) -> None:
    dice = random.Random(seed)
    play, listens = Play(dice), dice.random() < 0.5
    for _ in range(dice.randint(1, 3)):
        play.say(dice.randint(3, 15))
        if listens:
            play.work(dice.randint(0, 30))
        if dice.random() < 0.7:
            play.grow_speaker(listens)
        if listens and dice.random() < 0.5:
            play.grow_listener()
        if listens and dice.random() < 0.3:
            play.finish()
            play.say(dice.randint(1, 5))
            play.grow_listener({n for n in range(len(play.owners)) if dice.random() < 0.5})
        if not listens and dice.random() < 0.5:
            listens = True
            if dice.random() < 0.5:
                play.begin_now()
    play.say(dice.randint(0, 5))
    play.work(60)
    play.lose()
    play.finish()
    applied = play.applied()
    assert {name: applied[name] for name in play.wanted} == dict.fromkeys(play.wanted, 1)
    assert applied.keys() == play.wanted | {f"{name}+" for name in play.wanted}
