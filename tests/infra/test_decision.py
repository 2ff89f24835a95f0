"""What one partition would append, remember and refuse."""

import io
from dataclasses import replace
from typing import Any

import fastavro
import pytest

from infra.messages import Refused, Rejected
from infra.settings import DAY_MS
from infra.wire.limits import MAX_BATCH_BYTES, MAX_WAITING
from infra.wire.record import Read, partition_of
from infra.write.decision import Decision
from tests.counter.commands.counter import Add
from tests.counter.mesh import mesh
from tests.counter.schemas.counter import Added
from tests.infra.counter_log import (
    CONTEXT,
    NOW,
    add,
    blocked,
    carry,
    commands,
    decide,
    decide_all,
    empty,
    events,
    failing,
    fresh,
    junk,
    landed,
    said,
)


def headers(decision: Decision, index: int = 0) -> dict[str, bytes | None]:
    return dict(decision.records[index].headers)


def test_every_record_says_where_it_expects_to_land() -> None:
    decision = decide(fresh(), commands((add(1), "a"), (add(2), "b")))
    assert [dict(r.headers)["weft-expected-offset"] for r in decision.records] == [b"0", b"1"]


def test_an_event_carries_its_command_and_a_unique_id() -> None:
    event = headers(decide(fresh(), commands((add(1), "a"), start=7)))
    place = (event["weft-command-offset"], event["ce_id"])
    assert (event["ce_causationid"], *place) == (b"a", b"7", b"counter.events/0/0")


def test_deciding_changes_nothing_before_it_is_merged() -> None:
    aggregates = fresh()
    decide(aggregates, commands((add(1), "a")))
    assert (aggregates.states, aggregates.decided, aggregates.next_offset) == ({}, {}, 0)


def test_commands_of_one_batch_see_each_others_events() -> None:
    decision = decide(fresh(), commands((add(1), "a"), (add(1, 2), "b"), (add(1), "c")))
    assert said(decision) == [("Added", "a"), ("Added", "b"), ("Filled", "b"), ("Refused", "c")]


def test_a_command_id_that_was_decided_appends_nothing() -> None:
    aggregates = fresh()
    decide_all(aggregates, commands((add(1), "a")))
    again = decide(aggregates, commands((add(1), "a"), start=1))
    assert (again.records, again.next) == ([], 1)


def test_the_same_id_twice_in_one_batch_is_decided_once() -> None:
    assert len(decide(fresh(), commands((add(1), "a"), (add(1), "a"))).records) == 1


def test_the_same_id_for_another_aggregate_is_another_command() -> None:
    assert said(decide(fresh(), commands((add(1), "a"), (add(2), "a")))) == [("Added", "a"), ("Added", "a")]


def test_command_ids_are_forgotten_after_the_window_and_not_before() -> None:
    aggregates = fresh()
    decide_all(aggregates, commands((add(1), "old")))
    decide_all(aggregates, commands((add(2), "new"), start=1, at=NOW + 30 * DAY_MS))
    assert decide(aggregates, commands((add(1), "old"), start=2)).records == []
    decide_all(aggregates, commands((add(3), "newer"), start=2, at=NOW + 30 * DAY_MS + 1))
    assert decide(aggregates, commands((add(1), "old"), start=3)).records != []


def test_a_command_before_the_cursor_is_not_decided_again() -> None:
    aggregates = fresh()
    decide_all(aggregates, commands((add(1), "a"), (add(2), "b")))
    assert decide(aggregates, commands((add(3), "c"))).records == []


def test_a_command_with_nothing_to_do_leaves_an_answer() -> None:
    decision = decide(fresh(), commands((add(1), "a"), (empty(1), "b"), (empty(1), "c")))
    assert events(decision)[-1].code == "nothing_to_do"


def test_a_refusal_is_an_event_and_leaves_the_state() -> None:
    aggregates = fresh()
    decision = decide(aggregates, commands((add(1, 0), "a")))
    aggregates.merge(decision)
    assert isinstance(events(decision)[0], Refused)
    assert aggregates.states == {}


def test_what_cannot_be_read_is_answered_and_kept_without_what_nobody_has_read_of_it() -> None:
    record = Read("counter.commands", 0, 3, NOW, b"k", b"garbage", [("ce_id", b"mine")])
    decision = decide(fresh(), [record])
    (answer,) = events(decision)
    (letter,) = decision.dead
    assert isinstance(answer, Rejected)
    assert headers(decision)["ce_causationid"] == b"mine"
    assert (letter.key, letter.value) == (b"k", b"")
    assert dict(letter.headers)["dlq-original-offset"] == b"3"


def test_a_rejected_command_may_be_mended_under_its_id() -> None:
    aggregates = fresh()
    bad = Read("counter.commands", 0, 0, NOW, b"c1", b"garbage", [("ce_id", b"mine")])
    decide_all(aggregates, [bad])
    assert [type(e) for e in events(decide(aggregates, commands((add(1), "mine"), start=1)))] == [Added]


def test_a_key_of_any_size_is_answered() -> None:
    record = Read("counter.commands", 0, 0, NOW, b"k" * 2_000_000, b"{}", [("x" * 1000, b"v" * 10_000)] * 300)
    decision = decide(fresh(), [record])
    assert decision.next == 1
    assert sum(r.size() for r in decision.records) < 10_000
    assert decision.dead[0].size() <= 2_000_000


def test_a_misrouted_command_is_forwarded_with_its_id() -> None:
    aggregates = fresh(partitions=4, number=(partition_of(b"c1", 4) + 1) % 4)
    record = commands((add(1), "a"))[0]._replace(headers=(("ce_type", b"counter.Add"),))
    (posted,) = decide(aggregates, [record]).forwards
    assert posted.partition == partition_of(b"c1", 4)
    assert ("ce_id", b"counter.commands/0/0@1700000000000") in posted.forwarded().headers


LARGE = MAX_BATCH_BYTES - 300
CANNOT_BE_SENT_ON = {
    "too_large": (b"x" * LARGE, ("ce_id", b"large")),
    "bad_id": (b"x", ("ce_id", b"i" * 256)),
}


@pytest.mark.parametrize("code", CANNOT_BE_SENT_ON)
def test_what_cannot_be_forwarded_as_it_is_is_answered_where_it_lies_and_is_in_nobodys_way(code: str) -> None:
    # given a record that its topic took, in a partition that is not its key's
    value, header = CANNOT_BE_SENT_ON[code]
    number = (partition_of(b"c1", 4) + 1) % 4
    aggregates = fresh(partitions=4, number=number)
    # when it is decided
    decision = decide_all(aggregates, [Read("counter.commands", number, 0, NOW, b"c1", value, [header])])
    # then it is kept, but not what nobody has read of it, and no queue of its key begins here
    assert (decision.next, decision.forwards, aggregates.queues) == (1, [], {})
    (answer,), (letter,) = events(decision), decision.dead
    assert (answer.code, decision.records[0].key, letter.key, letter.value) == (code, None, None, b"")


def test_a_command_of_many_headers_that_cannot_be_forwarded_is_told_where_it_belongs() -> None:
    number = (partition_of(b"c1", 4) + 1) % 4
    many = commands((add(1), "a"))[0]
    padded = many._replace(partition=number, headers=[*many.headers, ("much", b"x" * LARGE)])
    (answer,) = events(decide(fresh(partitions=4, number=number), [padded]))
    assert answer.code == "too_large" and f"its key is of partition {partition_of(b'c1', 4)}" in answer.reason


def test_time_never_goes_back_in_a_partition() -> None:
    aggregates = fresh()
    decide_all(aggregates, commands((add(1), "a"), at=NOW))
    decision = decide(aggregates, commands((add(2), "b"), start=1, at=NOW - 5000))
    assert decision.records[0].timestamp == NOW


def test_a_decision_stops_before_its_batch_is_too_big() -> None:
    long = "x" * 200
    many = commands(*((Add(counter_id=f"{long}{i}", amount=3), f"{long}{i}") for i in range(800)))
    aggregates, start, batches = fresh(), 0, 0
    while start < len(many):
        decision = decide(aggregates, many, start)
        assert sum(r.size() for r in decision.records) <= decision.size <= MAX_BATCH_BYTES
        assert decision.next > start
        aggregates.merge(decision)
        start, batches = decision.next, batches + 1
    assert batches > 1
    assert len(aggregates.states) == 800


# -- what cannot be processed, and what comes after it


def test_nothing_waits_behind_a_strangers_junk() -> None:
    aggregates = fresh()
    decision = decide_all(aggregates, [junk(b"c1", b"bad", 0), *commands((add(1), "a"), start=1)])
    assert (said(decision), aggregates.queues) == ([("Rejected", "bad"), ("Added", "a")], {})


def test_a_strangers_junk_is_answered_also_where_others_wait_and_takes_nobodys_turn() -> None:
    aggregates = blocked()
    decision = decide_all(aggregates, [junk(b"c1", b"new", 3), junk(b"c1", b"c", 4)])
    assert said(decision) == [("Rejected", "new"), ("Rejected", "c")]
    assert aggregates.queues == {b"c1": (b"bad", b"c")}


def test_later_commands_wait_behind_what_its_context_asked_itself_and_cannot_be_read() -> None:
    own = carry(1, b"t/0/7/0", 0)._replace(value=b"junk")
    aggregates = fresh()
    assert said(decide_all(aggregates, [own])) == [("Rejected", "r-t/0/7/0")]
    assert said(decide_all(aggregates, commands((add(1), "a")))) == [("Parked", "a")]


def test_a_rejection_of_before_there_was_such_a_field_blocks_its_key() -> None:
    reader = fresh()
    records = landed(decide(fresh(), [junk(b"c1", b"bad", 0)]).records, 0)
    old = next(entry for entry in mesh.vocabulary.ids.values() if entry.name == "weft.Rejected")
    out = io.BytesIO()
    fastavro.schemaless_writer(out, old.schema, {"code": "not_avro", "reason": "junk"})
    reader.fold([records[0]._replace(value=b"\0" + old.id.to_bytes(4) + out.getvalue())])
    assert reader.queues == {b"c1": (b"bad",)}


def emptying(identity: str, offset: int) -> Read:
    return commands((empty(1), identity), start=offset)[0]


def test_later_commands_of_a_key_wait_behind_one_that_cannot_be_processed() -> None:
    assert blocked().queues == {b"c1": (b"bad", b"c")}


def test_commands_of_other_keys_do_not_wait() -> None:
    decision = decide(blocked(), [*commands((add(2), "d"), start=3), emptying("e", 4)])
    assert said(decision) == [("Added", "d"), ("Parked", "e")]


def test_a_mended_command_under_its_id_lets_the_next_one_pass() -> None:
    aggregates = blocked()
    decision = decide(aggregates, [emptying("bad", 3), emptying("c", 4)])
    assert said(decision) == [("Emptied", "bad"), ("Refused", "c")]
    aggregates.merge(decision)
    assert aggregates.queues == {}


def test_the_second_in_line_does_not_pass_the_first() -> None:
    aggregates = blocked()
    decision = decide(aggregates, [emptying("c", 3)])
    assert (decision.records, decision.dead) == ([], [])


def test_what_is_rejected_again_stays_the_head_and_is_kept_once() -> None:
    aggregates = blocked()
    decision = decide(aggregates, [failing(b"c1", b"bad", 3), emptying("c", 4)])
    assert (said(decision), decision.dead) == ([("Rejected", "bad")], [])
    aggregates.merge(decision)
    assert aggregates.queues == {b"c1": (b"bad", b"c")}


def discard(identity: bytes, offset: int) -> Read:
    headers = [("ce_type", b"weft.Discard"), ("ce_id", identity)]
    return Read("counter.commands", 0, offset, NOW, b"c1", b'{"reason": "never"}', headers)


def test_a_discarded_command_lets_the_next_one_pass_and_is_never_processed() -> None:
    aggregates = blocked()
    decision = decide(aggregates, [discard(b"bad", 3), emptying("bad", 4), emptying("c", 5)])
    assert said(decision) == [("Discarded", "bad"), ("Emptied", "c")]


def test_what_waits_is_not_recorded_before_its_cause() -> None:
    (bad,), behind = [failing(b"c1", b"bad", 3)], emptying("c", 4)
    late = [("weft-cause-time", b"%d" % (NOW + 200))]
    decision = decide(fresh(), [r._replace(headers=[*r.headers, *late]) for r in (bad, behind)])
    assert said(decision) == [("Rejected", "bad"), ("Parked", "c")]
    assert [record.timestamp for record in decision.records] == [NOW + 200, NOW + 200]


def test_what_was_discarded_and_comes_again_blocks_nobody_anew() -> None:
    aggregates = blocked()
    decide_all(aggregates, [discard(b"bad", 3), discard(b"c", 4)])
    decision = decide(aggregates, [failing(b"c1", b"bad", 5)])
    assert (decision.records, decision.dead) == ([], [])


def test_one_that_waits_behind_may_be_discarded_too() -> None:
    aggregates = blocked()
    decide_all(aggregates, [discard(b"c", 3)])
    assert aggregates.queues == {b"c1": (b"bad",)}


def test_only_what_waits_is_discarded() -> None:
    assert decide(blocked(), [discard(b"a", 3), discard(b"nothing", 4)]).records == []


def test_a_decider_that_fails_keeps_its_command_and_stops_nobody_else() -> None:
    (aggregate,) = CONTEXT.aggregates

    def failing(command: Any, state: Any) -> Any:
        yield from aggregate.decide(command, state)
        if command.counter_id == "c1":
            raise ZeroDivisionError("a bug")

    aggregates = fresh(replace(CONTEXT, aggregates=(replace(aggregate, decide=failing),)))
    decision = decide(aggregates, commands((add(1), "a"), (add(2), "b")))
    assert said(decision) == [("Rejected", "a"), ("Added", "b")]
    letter = dict(decision.dead[0].headers)
    assert letter["dlq-exception-class"] == b"failed"
    assert b"ZeroDivisionError" in (letter["dlq-exception-stacktrace"] or b"")
    aggregates.merge(decision)
    assert list(aggregates.states) == [b"c2"]


def test_strangers_are_turned_away_where_too_many_wait_and_its_context_is_not() -> None:
    # given a key behind whose head as many wait as may
    aggregates = fresh()
    decide_all(aggregates, [failing(b"c1", b"bad", 0)])
    many = commands(*((add(1), f"w-{n}") for n in range(MAX_WAITING - 1)), start=1)
    for start in range(0, len(many), 500):
        decide_all(aggregates, many[start : start + 500])
    # when one more comes, and one of its own
    decision = decide_all(aggregates, commands((add(1), "more"), start=2000))
    own = decide_all(aggregates, [carry(1, b"t/0/7/0", 0)])
    # then the stranger's is refused, and may come again
    assert [(type(e), e.code) for e in events(decision)] == [(Refused, "too_many_wait")]
    assert said(own) == [("Parked", "r-t/0/7/0")]
    assert len(aggregates.queues[b"c1"]) == MAX_WAITING + 1
