"""What an owner does when a command topic loses what nobody had decided, answers in part, or is another one meanwhile."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pytest

from infra.errors import Unknown
from infra.kafka.inbound import Loss, Seen, Unanswered
from infra.kafka.memory import MemoryKafka
from infra.messages import Resumed
from infra.settings import DAY_MS
from infra.wire.envelope import Way
from infra.wire.inbound import resumption
from infra.wire.record import Outgoing
from infra.write import watch
from infra.write.lanes import Delivery
from infra.write.reactions import outgoing_command
from infra.write.watch import standing_still
from tests.counter.commands.counter import Carry
from tests.infra.counter_log import CODEC, CONTEXT, NOW, add
from tests.infra.watched import COMMANDS, EVENTS, OWN, Process, accept, at_work, broker, post


def accept_own(kafka: MemoryKafka, cursor: int) -> None:
    log = kafka.log(*EVENTS)
    event = Resumed(topic_id=kafka.topic_id(OWN[0]), cursor=cursor, reason="accepted")
    kafka.append(*EVENTS, [resumption(CODEC, CONTEXT.name, EVENTS, Way.OWN, event, len(log), NOW)])


async def said_of(process: Process) -> list[dict[str, Any]]:
    await process.owner._say_stopped()
    return standing_still(process.kafka.log("weft.stopped", 0))


# -- the end that nobody had decided


async def lost_end(place: tuple[str, int]) -> tuple[MemoryKafka, Process]:
    """Somebody asked, an owner saw it, and it is gone before anybody decided it."""
    kafka, process = await at_work(1)
    command = add(2) if place == COMMANDS else Carry(counter_id="c2")
    kafka.append(*place, [outgoing_command(CODEC, command, "lost")])
    await process.look()
    kafka.cut(place, len(kafka.log(*place)) - 1)
    await process.look()
    return kafka, process


@pytest.mark.parametrize("place", [COMMANDS, OWN])
async def test_an_end_that_an_owner_saw_and_nobody_decided_is_a_loss(place: tuple[str, int]) -> None:
    _, process = await lost_end(place)
    assert process.standing == {place: Loss.CUT}
    assert [(s["topic"], s["loss"]) for s in await said_of(process)] == [(place[0], "cut")]


@pytest.mark.parametrize("place", [COMMANDS, OWN])
async def test_whoever_comes_next_knows_of_an_end_that_only_another_has_seen(place: tuple[str, int]) -> None:
    kafka, _ = await lost_end(place)
    assert (await Process(kafka).begin()).standing == {place: Loss.CUT}


async def test_an_end_that_was_lost_goes_on_when_somebody_says_so() -> None:
    kafka, process = await lost_end(COMMANDS)
    accept(kafka, 1)
    post(kafka, 3)
    await process.look()
    await process.read()
    assert process.standing == {} and process.decided == {b"c1", b"c3"}


async def test_a_deadline_that_was_posted_and_lost_is_posted_again_when_its_way_goes_on() -> None:
    # given a counter whose time is up, and a deadline that is lost before it is decided
    kafka, process = await at_work(1)
    process.owner._now = lambda: NOW / 1000 + 60
    await process.owner._attend_once()
    (lost,) = kafka.log(*OWN)
    await process.look()
    kafka.cut(OWN, 0)
    await process.look()
    assert process.standing == {OWN: Loss.CUT}
    # when it goes on
    accept_own(kafka, 0)
    await process.look()
    await asyncio.sleep(0.01)
    await process.owner._attend_once()
    # then it is there again
    assert [record.headers for record in kafka.log(*OWN)] == [lost.headers]


async def test_what_a_new_leader_may_have_lost_unseen_is_wanted_again() -> None:
    # given a deadline in a topic that is cut and written over before anybody looks
    kafka, process = await at_work(1)
    process.owner._now = lambda: NOW / 1000 + 60
    await process.owner._attend_once()
    await process.look()
    kafka.cut(OWN, 0)
    kafka.append(*OWN, [Outgoing(b"c9", b"junk", [])])
    # when its owner looks, and sees another leader
    await process.look()
    await asyncio.sleep(0.01)
    await process.owner._attend_once()
    # then nothing is known to be wrong, and what was wanted is wanted once more
    assert process.standing == {} and process.reread == [OWN]
    assert [dict(r.headers).get("weft-due-of") is not None for r in kafka.log(*OWN)] == [False, True]


# -- what Kafka does not say


class Silent:
    """Command topics of which one place is not answered."""

    def __init__(self, topics: Any, place: tuple[str, int]) -> None:
        self._topics = topics
        self.place: tuple[str, int] | None = place

    async def look(self, places: Collection[Any], at: Mapping[Any, int]) -> dict[Any, Seen]:
        found: dict[Any, Seen] = await self._topics.look(places, at)
        return {p: Unanswered("no leader") if p == self.place else there for p, there in found.items()}


async def test_a_takeover_waits_for_no_partition_that_does_not_answer() -> None:
    # given one way in whose partition has no leader
    kafka = broker()
    process = Process(kafka)
    silent: Any = Silent(process.owner.watch._topics, OWN)
    process.owner.watch._topics = silent
    # when it is taken over
    async with asyncio.timeout(5):
        await process.begin()
    # then that way stands still, and the other does not
    assert process.standing == {OWN: Loss.UNANSWERED}
    post(kafka, 1)
    await process.read()
    assert process.decided == {b"c1"}
    assert "goes on by itself" in (await said_of(process))[0]["next"]
    # and when it answers it goes on by itself
    silent.place = None
    await process.look()
    assert process.standing == {} and process.reread == [OWN]


async def test_a_partition_that_does_not_answer_for_a_while_is_what_it_was() -> None:
    kafka, process = await at_work(1)
    process.owner.watch._topics = Silent(process.owner.watch._topics, OWN)  # type: ignore[assignment]
    kafka.make_anew(COMMANDS[0])
    await process.look()
    assert process.standing == {COMMANDS: Loss.ANEW}


# -- one that is another


async def test_the_status_says_what_is_wrong_now() -> None:
    # given a topic that is gone
    kafka, process = await at_work(1)
    look = kafka.look
    kafka.look = lambda places, at: {p: f for p, f in look(places, at).items() if p != COMMANDS}  # type: ignore[method-assign]
    await process.look()
    assert [(s["loss"], s["next"]) for s in await said_of(process)] == [("gone", "`weft setup` is next")]
    # when it is made again
    kafka.look = look  # type: ignore[method-assign]
    kafka.make_anew(COMMANDS[0])
    await process.look()
    # then that is said
    (said,) = await said_of(process)
    assert said["loss"] == "anew" and "weft topics accept" in said["next"]


@pytest.mark.parametrize("count", [2, 8])
async def test_a_topic_with_other_partitions_than_its_log_stands_still_and_says_so(count: int) -> None:
    kafka, process = await at_work(1)
    kafka.make_anew(COMMANDS[0], count)
    await process.look()
    assert process.standing == {COMMANDS: Loss.TORN}
    (said,) = await said_of(process)
    assert f"the topic has {count} partitions, its log has 1" in said["reason"]
    assert said["next"] == "delete counter.commands, run `weft setup`, and then `weft topics accept counter`"
    assert (await Process(kafka).begin()).standing == {COMMANDS: Loss.TORN}


async def test_what_comes_of_a_partition_that_its_log_has_not_is_dropped() -> None:
    kafka, process = await at_work(1)
    kafka.append(COMMANDS[0], 5, [outgoing_command(CODEC, add(2), "beyond")])
    process.owner.lanes.put((COMMANDS[0], 5), Delivery(kafka.log(COMMANDS[0], 5), lambda: True, lambda: None))
    await asyncio.sleep(0.01)
    assert process.decided == {b"c1"}


async def test_nothing_is_passed_over_of_a_topic_that_was_accepted_before_anybody_looked() -> None:
    # given a topic that is made anew and accepted, and an owner that has not seen that and goes on fetching where it was
    kafka, process = await at_work(1, 2)
    kafka.make_anew(COMMANDS[0])
    post(kafka, 11, 12, 13, 14, prefix="new")
    accept(kafka, 0)
    await process.owner.writers[0].catch_up(len(kafka.log(*EVENTS)))
    process.owner.lanes.put(COMMANDS, Delivery(kafka.log(*COMMANDS)[2:], lambda: True, lambda: None))
    await asyncio.sleep(0.01)
    # when it looks
    await process.look()
    await process.read()
    # then all of it is decided
    assert process.standing == {} and process.reread == [COMMANDS]
    assert process.decided == {b"c1", b"c2", b"c11", b"c12", b"c13", b"c14"}
    assert (await Process(kafka).begin()).standing == {}


async def test_whoever_stood_still_in_a_sweep_deletes_nothing_of_another_topic() -> None:
    # given an owner that is about to delete what it has decided
    kafka, process = await at_work(1, 2, 3)
    process.owner.watch._now = lambda: NOW / 1000 + 8 * 86_400
    topics = process.owner.watch._topics
    since = topics.first_since

    async def stand_still(places: Collection[Any], at_ms: int) -> dict[Any, int]:
        found = await since(places, at_ms)
        kafka.make_anew(COMMANDS[0])
        post(kafka, 4, 5, 6, 7, prefix="new")
        return found

    topics.first_since = stand_still  # type: ignore[method-assign]
    # when the topic is another one before it does
    await process.owner.watch.sweep()
    # then that keeps what is there
    assert kafka.lows == {}


async def test_what_is_kept_for_longer_than_there_was_time_is_kept_for_ever() -> None:
    kafka, process = await at_work(1, 2, 3)
    asked: list[int] = []
    topics = process.owner.watch._topics
    since = topics.first_since

    async def noted(places: Collection[Any], at_ms: int) -> dict[Any, int]:
        asked.append(at_ms)
        return await since(places, at_ms)

    topics.first_since = noted  # type: ignore[method-assign]
    process.owner.watch._keep_ms = 36_500 * DAY_MS
    process.owner.watch._now = lambda: NOW / 1000
    await process.owner.watch.sweep()
    assert asked == [0] and kafka.lows == {}


# -- what the log gets


async def test_no_clock_of_a_worker_gets_into_a_log_before_anything_is_decided() -> None:
    # given a worker whose clock is a day ahead
    kafka = broker()
    process = Process(kafka)
    process.owner._now = process.owner.watch._now = lambda: NOW / 1000 + 86_400
    await process.begin()
    # when it decides the first of a log
    post(kafka, 1)
    await process.read()
    # then that is recorded when it was asked
    assert [record.timestamp for record in kafka.log(*EVENTS)] == [0, 0, NOW]


async def test_a_word_that_kafka_does_not_take_is_not_said_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = broker()
    process = Process(kafka)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def refuse(partition: int, records: Sequence[Outgoing]) -> int:
        if len(pauses) < 6:
            raise Unknown("not allowed")
        return kafka.append(EVENTS[0], partition, records)

    process.owner._events.append = refuse  # type: ignore[method-assign]
    monkeypatch.setattr("infra.write.writer.asyncio.sleep", pause)
    monkeypatch.setattr("infra.write.writer.random", lambda: 0.5)
    await process.begin()
    assert sorted(pauses)[-1] > 0.3 and len(pauses) >= 6


# -- who goes on all the same


@pytest.mark.parametrize("what", ["look", "first_since"])
async def test_an_owner_outlives_what_kafka_does_not_answer(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(watch, "WATCH_SECONDS", 0.01)
    _, process = await at_work(1)
    calls: list[Any] = []

    def failing(name: str) -> Callable[..., Any]:
        async def fail(*asked: Any) -> Any:
            calls.append(name)
            raise Unknown("silent")

        return fail

    setattr(process.owner.watch._topics, what, failing(what))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await process.owner.run()
    assert len(calls) > 1
