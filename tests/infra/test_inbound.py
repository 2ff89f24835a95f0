"""Command topics that lose something: what a log says of them, what is wrong with them, and what an owner does about it."""

import asyncio

import pytest

from infra.kafka.inbound import Found, Loss, trouble
from infra.kafka.memory import MemoryKafka
from infra.messages import Resumed
from infra.ops.inbound import cut_at, decisions
from infra.settings import DAY_MS
from infra.wire.envelope import Way
from infra.wire.inbound import Decided, Inbound, Inlet, deletable, resumption
from infra.wire.record import Read
from infra.write.lanes import Delivery
from infra.write.reactions import outgoing_command
from infra.write.watch import standing_still
from tests.counter.commands.counter import Carry
from tests.infra.counter_log import CODEC, CONTEXT, NOW, add, commands, decide, decide_all, fresh, landed
from tests.infra.watched import COMMANDS, EVENTS, OWN, Process, accept, at_work, broker, post

# -- what a log says


def resumed(offset: int, topic_id: str, cursor: int, way: Way = Way.COMMANDS) -> list[Read]:
    event = Resumed(topic_id=topic_id, cursor=cursor, reason="somebody's word")
    return landed([resumption(CODEC, CONTEXT.name, EVENTS, way, event, offset, NOW)], offset)


def test_a_log_names_the_topics_its_commands_come_from() -> None:
    folded = fresh()
    folded.fold(resumed(0, "first", 0))
    folded.fold(landed(decide_all(folded, commands((add(1), "a"), start=41)).records, 1))
    assert folded.inbound.inlet(Way.COMMANDS)[:2] == ("first", 42)
    assert folded.inbound.inlet(Way.OWN) == ("", 0, None)


def a_long_log() -> list[Read]:
    """Two commands are decided, another topic is accepted, and one of it is decided."""
    writer = fresh()
    log = landed(decide_all(writer, commands((add(1), "a"), (add(2), "b"), start=40)).records, 0)
    log += resumed(len(log), "second", 0)
    writer.fold(log)
    return log + landed(decide(writer, commands((add(3), "c"), start=5)).records, len(log))


@pytest.mark.parametrize("how", ["folded", "taken in", "in pieces"])
def test_a_word_moves_the_cursor_back_however_the_log_is_read(how: str) -> None:
    log, reader = a_long_log(), fresh()
    if how == "folded":
        reader.fold(log)
    elif how == "taken in":
        reader.take(log)
        reader.settle(list(reader.unread))
    else:
        for record in log:
            reader.fold([record])
    topic_id, cursor, decided = reader.inbound.inlet(Way.COMMANDS)
    assert (topic_id, cursor) == ("second", 6)
    assert decided is not None and (decided.offset, decided.command_id) == (5, b"c")
    assert set(reader.states) == {b"c1", b"c2", b"c3"}


def test_what_a_log_says_survives_a_snapshot() -> None:
    reader = fresh()
    reader.fold(a_long_log())
    again = Inbound.of(reader.inbound.plain())
    assert again.plain() == reader.inbound.plain()
    assert [again.inlet(way) for way in Way] == [reader.inbound.inlet(way) for way in Way]


def test_what_is_merged_is_what_is_folded() -> None:
    merged, folded = fresh(), fresh()
    decision = decide_all(merged, commands((add(1), "a"), (add(2), "b"), (add(1), "a"), start=7))
    folded.fold(landed(decision.records, 0))
    assert merged.inbound.plain() == folded.inbound.plain()
    assert folded.inbound.inlet(Way.COMMANDS).cursor == 9  # a duplicate leaves nothing


# -- what is wrong


A = Decided(4, b"a", None, NOW)
INLET = Inlet("t", 5, A)


def there(identity: str = "a", offset: int = 4, at: int = NOW) -> Read:
    return commands((add(1), identity), start=offset, at=at)[0]


@pytest.mark.parametrize(
    ("found", "loss"),
    [
        (Found("t", 0, 5, last=there()), None),
        (Found("t", 5, 5), None),  # the last that was decided is deleted
        (None, Loss.GONE),
        (Found("u", 0, 9, last=there()), Loss.ANEW),
        (Found("t", 0, 4), Loss.CUT),
        (Found("t", 0, 9, last=there("b")), Loss.CUT),
        (Found("t", 0, 9, last=there(at=NOW + 1)), Loss.CUT),  # lost, and sent again under its id
        (Found("t", 0, 9, last=there(offset=6)), Loss.CUT),
        (Found("t", 6, 9), Loss.DELETED),
    ],
)
def test_a_command_topic_is_held_against_its_log(found: Found | None, loss: Loss | None) -> None:
    wrong = trouble(COMMANDS, INLET, found)
    assert (wrong and wrong.loss) == loss
    assert wrong is None or str(wrong).startswith("counter.commands/0 ")


def test_a_log_of_before_is_held_against_the_bounds_alone() -> None:
    before = Inlet("", 5, A)
    assert trouble(COMMANDS, before, Found("any", 0, 5, last=there())) is None
    assert trouble(COMMANDS, before, Found("any", 0, 4)) is not None


def test_the_topic_is_told_to_be_cut_behind_the_last_that_was_decided_at_its_place() -> None:
    decided = {i: Decided(i, b"%d" % i, None, NOW) for i in (0, 1, 3, 4)}  # 2 was a duplicate
    log = [there(str(i), i) for i in (0, 1, 2)] + [there("new", 3), there("4", 4, NOW + 1)]
    assert cut_at(decided, log, 0) == 2
    assert cut_at(decided, log[3:], 3) == 3
    assert cut_at(decided, [], 0) == 0


@pytest.mark.parametrize(
    ("inlet", "low", "kept_from", "offset"),
    [
        (INLET, 0, 9, 4),  # the last that was decided stays
        (INLET, 0, 3, 3),
        (INLET, 3, 3, None),
        (INLET, 4, 9, None),
        (Inlet("t", 0, None), 0, 9, None),
        (Inlet("t", 5, None), 0, 9, 5),  # nothing of it left an event
    ],
)
def test_what_is_decided_and_old_is_deleted(inlet: Inlet, low: int, kept_from: int, offset: int | None) -> None:
    assert deletable(inlet, low, kept_from) == offset


# -- what an owner does


async def test_the_topics_are_named_before_anything_is_decided_and_once() -> None:
    kafka, _ = await at_work(1)
    await Process(kafka).begin()
    events = [CODEC.decode(r.value or b"") for r in kafka.log(*EVENTS)]
    assert [e.topic_id for e in events if isinstance(e, Resumed)] == [COMMANDS[0], OWN[0]]
    assert [type(e).__name__ for e in events] == ["Resumed", "Resumed", "Added"]


async def test_a_log_of_before_takes_the_topic_that_is_there() -> None:
    kafka = broker()
    post(kafka, 1, 2)
    kafka.append(*EVENTS, decide(fresh(), kafka.log(*COMMANDS)).records)
    process = await Process(kafka).begin()
    assert process.standing == {}
    assert process.owner.writers[0].aggregates.inbound.inlet(Way.COMMANDS)[:2] == (COMMANDS[0], 2)


@pytest.mark.parametrize("when", ["at work", "between runs"])
@pytest.mark.parametrize("what", ["made anew", "cut", "cut and written over", "deleted"])
async def test_nothing_is_decided_of_a_topic_that_lost_something_until_somebody_says_so(what: str, when: str) -> None:
    # given commands that were decided, of which the topic loses some, and others that came since
    kafka, process = await at_work(1, 2, 3)
    goes_on = 0
    if what == "made anew":
        kafka.make_anew(COMMANDS[0])
        post(kafka, 4, 5, 6, 7)
    elif what == "deleted":
        post(kafka, 8, 9, 4, 5, 6, 7)
        kafka.delete_before(COMMANDS, 5)
        goes_on = 5
    else:
        kafka.cut(COMMANDS, goes_on := 1)
        kafka.now = lambda: NOW + 1000
        post(kafka, *((4,) if what == "cut" else (4, 5, 6, 7)), prefix="new")
    # when an owner looks
    process = await Process(kafka).begin() if when == "between runs" else process
    await process.look()
    await process.read()
    # then that way in stands still, and says so; the other does not
    loss = {"made anew": Loss.ANEW, "deleted": Loss.DELETED}.get(what, Loss.CUT)
    assert process.standing == {COMMANDS: loss}
    await process.owner._say_stopped()
    said = standing_still(kafka.log("weft.stopped", 0))
    assert [(s["topic"], s["loss"]) for s in said] == [(COMMANDS[0], loss.name.lower())]
    assert process.decided == {b"c1", b"c2", b"c3"}
    # and so it stays, for whoever comes
    assert (await Process(kafka).begin()).standing == {COMMANDS: loss}
    # when somebody has the log say where it goes on
    accept(kafka, goes_on)
    await process.look()
    # then it is read from there, and what was not decided is
    assert process.standing == {} and process.reread == [COMMANDS]
    await process.read()
    assert b"c4" in process.decided
    assert what == "cut" or process.decided >= {b"c6", b"c7"}
    await process.owner._say_stopped()
    assert standing_still(kafka.log("weft.stopped", 0)) == []
    assert (await Process(kafka).begin()).standing == {}


async def test_a_topic_that_is_there_again_goes_on_by_itself() -> None:
    kafka, process = await at_work(1)
    look, kafka.look = kafka.look, lambda places, at: {}  # type: ignore[method-assign]
    await process.look()
    assert process.standing == {COMMANDS: Loss.GONE, OWN: Loss.GONE}
    kafka.look = look  # type: ignore[method-assign]
    await process.look()
    assert process.standing == {} and process.reread == [COMMANDS, OWN]


async def test_where_the_end_moved_back_in_front_of_nothing_decided_reading_begins_anew() -> None:
    # given commands that were fetched, and not decided yet
    kafka, process = await at_work(1)
    post(kafka, 2, 3, 4)
    await process.look()
    # when they are lost, and others stand there
    kafka.cut(COMMANDS, 2)
    post(kafka, 5, 6, 7)
    await process.look()
    # then nothing that is there is passed over
    assert process.standing == {} and process.reread == [COMMANDS]


async def test_a_topic_that_was_cut_while_it_was_read_is_told_though_what_was_decided_last_is_there() -> None:
    # given a topic that was cut and written over, of which what stands behind that was decided at once
    kafka, process = await at_work(1, 2, 3)
    kafka.cut(COMMANDS, 1)
    kafka.now = lambda: NOW + 1000
    post(kafka, 4, 5, 6, 7, prefix="new")
    process.owner.lanes.put(COMMANDS, Delivery(kafka.log(*COMMANDS)[3:], lambda: True, lambda: None))
    await asyncio.sleep(0.01)
    assert process.decided == {b"c1", b"c2", b"c3", b"c6", b"c7"}
    # when its owner looks
    await process.look()
    # then it stands still, and its log says so to whoever comes
    assert process.standing == {COMMANDS: Loss.CUT}
    process = await Process(kafka).begin()
    assert process.standing == {COMMANDS: Loss.CUT}
    # until somebody has it go on where it was cut
    log = kafka.log(*EVENTS)
    cut = cut_at(decisions(log, Way.COMMANDS), kafka.log(*COMMANDS), 0)
    assert cut == 1
    accept(kafka, cut)
    await process.look()
    await process.read()
    assert process.standing == {} and process.decided >= {b"c4", b"c5"}


NAMELESS = outgoing_command(CODEC, add(1), "")._replace(headers=[("ce_type", b"counter.Add")])


def asked(kafka: MemoryKafka) -> list[bytes | None]:
    """The ids of what the first counter was asked, once each time it was answered."""
    headers = [dict(r.headers) for r in kafka.log(*EVENTS) if r.key == b"c1"]
    return [h["ce_causationid"] for h in headers if h["ce_type"] != b"counter.Filled"]  # comes with Added


async def test_a_command_without_an_id_is_another_where_another_topic_was_accepted() -> None:
    # given one that is known by its place
    kafka, process = await at_work()
    kafka.append(*COMMANDS, [NAMELESS])
    await process.read()
    await process.look()
    # when its topic is made anew and accepted, and the same is asked again
    kafka.make_anew(COMMANDS[0])
    kafka.now = lambda: NOW + 1000
    kafka.append(*COMMANDS, [NAMELESS])
    await process.look()
    accept(kafka, 0)
    await process.look()
    await process.read()
    # then it is another command
    assert asked(kafka) == [b"counter.commands/0/0@%d" % at for at in (NOW, NOW + 1000)]
    await process.look()
    assert process.standing == {} and (await Process(kafka).begin()).standing == {}


async def test_a_command_without_an_id_that_is_read_again_after_somebody_accepted_is_the_same() -> None:
    # given commands of which the last is lost, and another one that stands there before anybody has looked
    kafka, process = await at_work()
    kafka.append(*COMMANDS, [NAMELESS, NAMELESS])
    await process.read()
    await process.look()
    kafka.cut(COMMANDS, 1)
    kafka.now = lambda: NOW + 1000
    kafka.append(*COMMANDS, [NAMELESS, NAMELESS])
    process.owner.lanes.put(COMMANDS, Delivery(kafka.log(*COMMANDS)[2:], lambda: True, lambda: None))
    await asyncio.sleep(0.01)
    assert len(asked(kafka)) == 3
    # when that is accepted from the cut on
    await process.look()
    assert process.standing == {COMMANDS: Loss.CUT}
    accept(kafka, 1)
    await process.look()
    await process.read()
    # then each record is decided once
    places = ((0, NOW), (1, NOW), (2, NOW + 1000), (1, NOW + 1000))
    assert asked(kafka) == [b"counter.commands/0/%d@%d" % place for place in places]


async def test_what_left_no_event_is_not_read_again_when_its_id_is_forgotten() -> None:
    # given a command that a producer posted twice, the last ones there are
    kafka, process = await at_work(1)
    post(kafka, 1)
    await process.read()
    await process.owner.watch.sweep()
    # when its id is forgotten, and a worker starts
    kafka.now = lambda: NOW + 2 * DAY_MS
    kafka.append(*OWN, [outgoing_command(CODEC, Carry(counter_id="c2"), "own-1")])
    process.owner.lanes.put(OWN, Delivery(kafka.log(*OWN), lambda: True, lambda: None))
    await asyncio.sleep(0.01)
    process = await Process(kafka).begin()
    await process.read()
    # then it is not decided again
    assert asked(kafka) == [b"add-1"]
    assert process.standing == {}


async def test_what_was_passed_by_is_said_once() -> None:
    kafka, process = await at_work(1)
    post(kafka, 1)
    await process.read()
    await process.owner.watch.sweep()
    said = len(kafka.log(*EVENTS))
    await process.owner.watch.sweep()
    assert len(kafka.log(*EVENTS)) == said


async def test_a_stranger_cannot_call_a_command_as_what_a_log_says_of_itself() -> None:
    kafka, process = await at_work()
    post(kafka, 1, prefix="log/add")
    post(kafka, 2, prefix="grow/add")
    await process.read()
    folded = fresh()
    folded.fold(kafka.log(*EVENTS))
    decided = folded.inbound.inlet(Way.COMMANDS).decided
    assert decided is not None and decided.command_id == b"grow/add-2"
    assert process.owner.writers[0].aggregates.inbound.inlet(Way.COMMANDS).decided == decided


async def test_of_a_log_of_before_what_expired_is_passed_by() -> None:
    # given a log that names no topic, whose last commands left no event, and have expired
    kafka = broker()
    post(kafka, 1, 1, 1)
    kafka.append(*EVENTS, decide(fresh(), kafka.log(*COMMANDS)).records)
    kafka.delete_before(COMMANDS, 3)
    post(kafka, 2)
    # when its owner begins
    process = await Process(kafka).begin()
    await process.read()
    # then it goes on where the topic begins
    assert process.standing == {} and process.decided == {b"c1", b"c2"}


async def test_what_is_decided_is_deleted_when_nobody_looks_at_it_any_more() -> None:
    kafka, process = await at_work(1, 2, 3)
    process.owner.watch._now = lambda: NOW / 1000 + 6 * 86_400
    await process.owner.watch.sweep()
    assert kafka.lows == {}
    process.owner.watch._now = lambda: NOW / 1000 + 8 * 86_400
    await process.owner.watch.sweep()
    assert kafka.lows == {COMMANDS: 2}
    await process.look()
    assert process.standing == {}
    assert (await Process(kafka).begin()).standing == {}


async def test_nothing_is_deleted_of_what_stands_still() -> None:
    kafka, process = await at_work(1, 2, 3)
    kafka.cut(COMMANDS, 1)
    await process.look()
    process.owner.watch._now = lambda: NOW / 1000 + 100 * 86_400
    await process.owner.watch.sweep()
    assert kafka.lows == {}


async def test_what_is_dropped_of_a_topic_of_before_is_not_passed_by_in_the_one_that_is_there() -> None:
    # given commands that were fetched, and then another topic with others, which somebody accepted before anybody looked
    kafka, process = await at_work()
    post(kafka, 1, 2)
    fetched = list(kafka.log(*COMMANDS))
    kafka.make_anew(COMMANDS[0])
    post(kafka, 3, 4, 5, prefix="new")
    accept(kafka, 0)
    # when what was fetched comes to be decided
    process.owner.lanes.put(COMMANDS, Delivery(fetched, lambda: True, lambda: None))
    await asyncio.sleep(0.01)
    await process.look()
    await process.owner.watch.sweep()
    await process.read()
    # then what is there is decided from its beginning
    assert process.decided == {b"c3", b"c4", b"c5"}
