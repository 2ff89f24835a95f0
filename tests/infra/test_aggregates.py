"""One partition folded: from its log as it is, from a log that was only taken in, and from what was merged."""

import pytest

from infra.errors import LogDamaged
from infra.messages import Due
from infra.wire.envelope import copied_headers
from infra.wire.record import Read
from infra.write.intents import slot_of
from infra.write.layout import said_of
from tests.counter.commands.counter import RecordRing
from tests.counter.streams.counter.decider import PATIENCE_S, Counter, Ring
from tests.infra.counter_log import (
    NOW,
    add,
    blocked,
    commands,
    decide,
    decide_all,
    empty,
    failing,
    fresh,
    junk,
    landed,
    said,
)


def emptying(number: int, identity: str, offset: int) -> Read:
    return commands((empty(number), identity), start=offset)[0]


def test_a_record_that_landed_elsewhere_changes_nothing() -> None:
    reader = fresh()
    reader.fold(landed(decide(fresh(), commands((add(1), "a"))).records, base=5))
    assert (reader.states, reader.voids, reader.next_offset) == ({}, 1, 6)


def test_the_cursor_comes_from_the_log() -> None:
    reader = fresh()
    reader.fold(landed(decide(fresh(), commands((add(1), "a"), start=41)).records, 0))
    assert reader.cursors == [42, 0]


def test_an_accepted_record_nobody_can_read_stops_the_fold() -> None:
    record = Read("counter.events", 0, 0, NOW, b"k", b"garbage", [("weft-expected-offset", b"0")])
    with pytest.raises(LogDamaged, match=r"counter\.events/0/0"):
        fresh().fold([record])


def test_an_accepted_record_that_is_no_event_stops_the_fold() -> None:
    (command,), (placed,) = commands((add(1), "a")), decide(fresh(), commands((add(1), "a"))).records
    with pytest.raises(LogDamaged, match=r"Add is no event of counter"):
        fresh().fold(landed([placed._replace(value=command.value)], 0))


def test_folding_what_was_appended_gives_the_state_that_was_merged() -> None:
    writer, reader = fresh(), fresh()
    decision = decide(writer, commands((add(1), "a"), (empty(1), "b"), (add(2), "c"), (add(3, 3), "d")))
    writer.merge(decision)
    reader.fold(landed(decision.records, 0))
    for part in ("states", "decided", "cursors", "next_offset", "timestamp"):
        assert getattr(reader, part) == getattr(writer, part)


def test_a_fold_opens_what_the_decision_opened() -> None:
    decided, folded = fresh(), fresh()
    decision = decide(decided, commands((add(1), "a"), (add(2), "b"), (empty(1), "c"), (add(3, 3), "d")))
    decided.merge(decision)
    folded.fold(landed(decision.records, 0))
    assert decided.new_intents() == folded.new_intents() == list(decided.intents.values())
    assert [intent.wanted for intent in folded.intents.values()] == [Due(PATIENCE_S, empty(2)), Ring("c3")]


def test_a_fold_finds_the_same_queue_as_the_decisions() -> None:
    decided, folded = fresh(), fresh()
    for start, record in enumerate([*commands((add(1), "a")), failing(b"c1", b"bad", 1), emptying(1, "c", 2)]):
        decision = decide(decided, [record])
        folded.fold(landed(decision.records, start))
        decided.merge(decision)
    assert folded.queues == decided.queues == blocked().queues


def test_nothing_waits_behind_a_key_that_is_no_id_whether_decided_or_folded() -> None:
    decided, folded = fresh(), fresh()
    decision = decide(decided, [junk(b"\xff", b"bad", 0)])
    decided.merge(decision)
    folded.fold(landed(decision.records, 0))
    assert folded.queues == decided.queues == {}


def test_an_intent_keeps_the_id_of_the_event_that_opened_it() -> None:
    aggregates = fresh()
    decide_all(aggregates, commands((add(1, 3), "a")))
    (intent,) = aggregates.new_intents()
    assert (intent.key, intent.wanted) == ("counter.events/0/0", Ring("c1"))
    decide_all(aggregates, commands((RecordRing(counter_id="c1"), "b"), start=1))
    assert (aggregates.new_intents(), aggregates.intents) == ([], {})


def test_a_deadline_counts_from_the_event_that_opened_it() -> None:
    aggregates = fresh()
    decide_all(aggregates, commands((add(1), "a")))
    aggregates.new_intents()
    decide_all(aggregates, commands((add(1), "b"), start=1, at=NOW + 3000))
    (timer,) = aggregates.intents.values()
    assert (timer.key, timer.at, timer.wanted.after_s) == ("counter.events/0/0", NOW, PATIENCE_S)
    assert aggregates.new_intents() == []


def long_log() -> list[Read]:
    """Counters added to, one emptied, and one blocked with a command behind."""
    records = [
        *commands(*((add(i), f"p-{i}") for i in range(20))),
        failing(b"c3", b"bad", 20),
        emptying(3, "c-3", 21),
    ]
    return landed(decide(fresh(), [*records, emptying(5, "c-5", 22)]).records, 0)


def test_a_log_that_is_taken_in_is_settled_to_what_folding_makes_of_it() -> None:
    settled, folded = fresh(), fresh()
    settled.take(long_log())
    folded.fold(long_log())
    assert (settled.next_offset, settled.cursors, settled.timestamp) == (
        folded.next_offset,
        folded.cursors,
        folded.timestamp,
    )
    assert len(settled.unread) == 19
    while settled.unread:
        settled.settle(list(settled.unread)[:4])
    assert settled.unread_events == 0
    for part in ("states", "decided", "queues", "intents"):
        assert getattr(settled, part) == getattr(folded, part)
    assert {intent.key for intent in settled.new_intents()} == {intent.key for intent in folded.new_intents()}


def test_an_aggregate_that_was_only_taken_in_is_folded_before_its_next_command() -> None:
    aggregates = fresh()
    aggregates.take(long_log())
    again = [*commands((add(1), "p-1"), start=30), emptying(2, "c-2", 31), emptying(3, "d-3", 32)]
    assert said(decide(aggregates, again)) == [("Emptied", "c-2"), ("Parked", "d-3")]


def test_void_records_are_not_taken_in() -> None:
    aggregates, records = fresh(), long_log()
    aggregates.take([*records[:3], records[0]._replace(offset=3)])
    assert (aggregates.voids, aggregates.next_offset, len(aggregates.unread)) == (1, 4, 3)


def test_what_is_folded_after_the_taking_comes_after_it() -> None:
    aggregates, records = fresh(), long_log()
    aggregates.take(records[:-1])
    aggregates.fold(records[-1:])
    assert aggregates.states[b"c5"] == Counter(filling=1)


def test_what_is_open_of_a_copied_event_names_the_topic_that_it_was_first_written_to() -> None:
    # given an intent of a log that was copied twice, as it grew
    log = landed(decide(fresh(), commands((add(1, 3), "a"))).records, 0)
    for topic_id in ("first-id", "second-id"):
        log = [
            record._replace(
                headers=tuple(copied_headers(record.headers, f"{topic_id}/0/{record.offset}".encode(), record.offset))
            )
            for record in log
        ]
    grown = fresh()
    grown.fold(log)
    # then what it is known by outside is what it was before
    (intent,) = grown.intents.values()
    assert (intent.key, intent.topic_id) == ("counter.events/0/0", "first-id")
    # also once it was written down, and found again
    slot = slot_of(intent.place)
    assert list(grown.intents_of(slot, grown.states[slot], [said_of(intent), None])) == [intent]


def crowd(count: int) -> list[Read]:
    """A log of one counter that was added to that often, and of another one in front of it."""
    aggregates, log = fresh(), []
    log += landed(decide_all(aggregates, commands((add(2), "first"))).records, 0)
    for number in range(count):
        (asked,) = commands((add(1), f"a-{number}"), start=number + 1)
        log += landed(decide_all(aggregates, [asked]).records, len(log))
    return log


def test_what_one_aggregate_has_said_is_not_left_unread_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.write.aggregates.CROWD", 10)
    log, taken, folded = crowd(25), fresh(), fresh()
    folded.fold(log)
    for start in range(0, len(log), 7):
        batch = log[start : start + 7]
        assert b"c1" in taken.taken_at_once(batch) or len(taken.unread.get(b"c1", ())) + len(batch) < 10
        taken.take(batch)
        assert taken.unread_events == sum(map(len, taken.unread.values())) < 12
    taken.settle(list(taken.unread))
    assert taken.states == folded.states


def test_what_was_taken_in_is_settled_so_many_events_at_once() -> None:
    log, taken, folded = crowd(25), fresh(), fresh()
    folded.fold(log)
    taken.take(log)
    left = taken.unread_events
    while taken.unread:
        taken.settle(list(taken.unread), 4)
        assert left - taken.unread_events <= 4
        left = taken.unread_events
    assert (left, taken.states, taken.decided) == (0, folded.states, folded.decided)
