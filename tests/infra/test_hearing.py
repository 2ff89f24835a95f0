"""What a context asked itself and lost is asked again: its policy hears what it had heard, from where nothing can be lost."""

import asyncio
from collections.abc import Mapping

import pytest

from infra.kafka.memory import MemoryKafka
from infra.messages import Begun, Resumed
from infra.ops.hearing import Marks, asked_once_more, is_heard_again, lowered, safe_position, source_of
from infra.ops.inbound import Tail
from infra.ops.keeping import of_itself
from infra.wire.envelope import Way
from infra.wire.inbound import Inbound, resumption
from infra.wire.record import Outgoing, Read
from infra.write.heard import Listener, positions
from infra.write.lanes import Delivery
from infra.write.reactions import outgoing_command
from tests.counter.commands.counter import RecordRing
from tests.counter.schemas.counter import Carried
from tests.infra.counter_log import CODEC, CONTEXT, NOW, add, carry, decide, fresh, landed
from tests.infra.watched import COMMANDS, EVENTS, OWN, Process, broker

SOURCE = f"{CONTEXT.events_topic}/0".encode()
WHO = Listener("counter", "o", {CONTEXT.own_topic: "o", CONTEXT.events_topic: CONTEXT.events_topic})


# -- where it is heard again


@pytest.mark.parametrize(
    ("marks", "position"),
    [
        ({}, 0),
        ({SOURCE: (7, 1)}, 7),  # another reaction to the same event may be lost
        ({SOURCE + b"<": (5, -1)}, 5),
        ({SOURCE: (7, 0), SOURCE + b"<": (5, -1)}, 7),
        ({b"another/0": (9, 0)}, 0),
    ],
)
def test_nothing_is_left_out_that_may_be_lost(marks: Marks, position: int) -> None:
    assert safe_position(marks, SOURCE) == position


@pytest.mark.parametrize(("known", "offset"), [({}, None), ({WHO.key(EVENTS): 4}, None), ({WHO.key(EVENTS): 9}, 3)])
def test_a_position_is_set_back_and_never_on(known: Mapping[bytes, int], offset: int | None) -> None:
    lost: list[Marks] = [{SOURCE: (8, 0)}, {SOURCE: (4 if offset is None else 3, 1)}]
    assert lowered(WHO, known, [EVENTS], lost) == ({} if offset is None else {EVENTS: offset})


def test_the_marks_of_a_log_are_those_of_its_owner() -> None:
    # given a log that says where its policy began, and has a reaction
    begun = of_itself(CODEC, Begun(places=(f"{CONTEXT.events_topic}/0/2",)), CONTEXT, EVENTS, 0, NOW)
    owner = fresh()
    owner.fold(landed([begun], 0))
    log = [*landed([begun], 0), *landed(decide(owner, [carry(1, SOURCE + b"/7/1", 0)]).records, 1)]
    owner.fold(log[1:])
    # then who reads it knows what its owner knows
    tail = Tail(0, 0, Inbound())
    tail.take(CODEC, log)
    assert tail.marks == owner.marks == {SOURCE + b"<": (2, -1), SOURCE: (7, 1)}


# -- what waits behind what was lost


@pytest.mark.parametrize(
    ("place", "is_again"),
    [
        (SOURCE + b"/7/1", True),
        (SOURCE + b"/7/0", False),  # decided; so it is known, or somebody sent it again
        (SOURCE + b"@3/7/1", True),  # asked in another partition, before there were more
        (b"another/0/7/1", False),
        (b"no place", False),
    ],
)
def test_reactions_that_wait_come_again_by_themselves(place: bytes, is_again: bool) -> None:
    assert is_heard_again(carry(1, place, 0), [SOURCE], {SOURCE: (7, 0)}) is is_again


def test_what_is_no_reaction_does_not_come_again() -> None:
    ring = outgoing_command(CODEC, RecordRing(counter_id="c1"), "rung")
    assert not is_heard_again(Read(*OWN, 0, NOW, ring.key, ring.value, ring.headers), [SOURCE], {})


def test_what_is_asked_once_more_has_the_name_it_had() -> None:
    nameless = Read(*OWN, 4, NOW, b"c1", b"{}", (("ce_type", b"counter.RecordRing"),))
    assert ("ce_id", b"counter.own/0/4") in asked_once_more(nameless).headers
    named = carry(1, SOURCE + b"/7/1", 0)
    assert asked_once_more(named) == Outgoing(named.key, named.value, list(named.headers))


# -- all of it, on the twins


class Hearing(Process):
    """An owner whose policy hears its own context, and what is known of its positions."""

    def __init__(self, kafka: MemoryKafka) -> None:
        super().__init__(kafka)

        async def heard() -> list[Read]:
            return list(kafka.log("weft.heard", 0))

        self.owner._read_heard = heard
        self.who = self.owner._listener
        self.heard = 0

    async def take(self, *places: tuple[str, int]) -> None:
        """All that there is from the position on, of each of these."""
        for place in places:
            start = max(self.owner.position(place) or 0, self.heard if place == EVENTS else 0)
            if records := self.kafka.log(*place)[start:]:
                self.owner.lanes.put(place, Delivery(records, lambda: True, lambda: None))
                await asyncio.sleep(0.02)
                self.heard = records[-1].offset + 1 if place == EVENTS else self.heard
        await self.owner._save_positions()


def ask(kafka: MemoryKafka, *numbers: int) -> None:
    for number in numbers:
        kafka.append(*COMMANDS, [outgoing_command(CODEC, add(number, 3), f"add-{number}")])


def accept_own(kafka: MemoryKafka, who: Listener) -> None:
    """As `weft topics accept` does it, while nobody is at work: see infra/ops/inbound.py."""
    log, tail = kafka.log(*EVENTS), Tail(0, 0, Inbound())
    tail.take(CODEC, log)
    again = lowered(who, positions(kafka.log("weft.heard", 0)), [EVENTS], [tail.marks])
    kafka.append("weft.heard", 0, [who.record(place, offset) for place, offset in again.items()])
    low, end = kafka.lows.get(OWN, 0), len(kafka.log(*OWN))
    waiting = kafka.log(*OWN)[low:end]
    once_more = [r for r in waiting if not is_heard_again(r, [source_of(who, EVENTS)], tail.marks)]
    if len(once_more) < len(waiting):
        kafka.append(*OWN, [asked_once_more(record) for record in once_more])
        low = end
    event = Resumed(topic_id=kafka.topic_id(OWN[0]), cursor=low, reason="accepted")
    kafka.append(*EVENTS, [resumption(CODEC, CONTEXT.name, EVENTS, Way.OWN, event, tail.offset, tail.at)])


def carried(kafka: MemoryKafka) -> list[str]:
    events = [CODEC.decode(record.value or b"") for record in kafka.log(*EVENTS)]
    return [event.counter_id for event in events if isinstance(event, Carried)]


@pytest.mark.parametrize("what", ["made anew", "cut", "deleted"])
async def test_reactions_that_were_lost_before_they_were_decided_are_decided_once(what: str) -> None:
    # given reactions of which some are decided and some are not, and positions that are past them
    kafka = broker()
    process = Hearing(kafka)
    await process.begin()
    ask(kafka, 1)
    await process.take(COMMANDS, EVENTS, OWN)
    ask(kafka, 2)
    await process.take(COMMANDS, EVENTS)
    assert carried(kafka) == ["c1+", "c1++"] and len(kafka.log(*OWN)) == 4
    await process.look()
    # when the undecided are lost, and others are asked behind them before the workers are stopped
    if what == "made anew":
        kafka.make_anew(OWN[0])
    elif what == "cut":
        kafka.cut(OWN, 2)
    else:
        kafka.delete_before(OWN, 4)
    await process.look()
    assert OWN in process.standing
    ask(kafka, 3)
    await process.take(COMMANDS, EVENTS)
    assert len(kafka.log(*OWN)[kafka.lows.get(OWN, 0) :]) == (4 if what == "cut" else 2)
    # and somebody accepts that, and starts again
    accept_own(kafka, process.who)
    process = Hearing(kafka)
    await process.begin()
    for _ in range(3):
        await process.take(EVENTS, OWN)
    # then all that follows from what was heard is there, each of it once
    assert process.standing == {}
    assert sorted(carried(kafka)) == sorted(f"c{n}{plus}" for n in (1, 2, 3) for plus in ("+", "++"))
