"""What strangers ask and what a context asks itself: by which way, and how each is told from what was decided before."""

from copy import deepcopy
from typing import Any

import pytest

from infra.messages import Begun, Refused
from infra.ops.keeping import of_itself
from infra.wire.envelope import DUE_OF, EARLIER, OUTCOME_OF, REACTION
from infra.wire.record import Read, partition_of
from infra.write.aggregates import Aggregates
from tests.counter.commands.counter import Carry, Empty, RecordRing
from tests.counter.streams.counter.decider import PATIENCE_S
from tests.infra.counter_log import (
    CODEC,
    CONTEXT,
    NOW,
    add,
    carry,
    commands,
    decide,
    decide_all,
    discard,
    events,
    failing,
    fresh,
    landed,
    own,
    said,
)


def folded(aggregates: Aggregates, *batches: list[Read]) -> Aggregates:
    """Who has only read the log of these decisions."""
    log: list[Read] = []
    for records in batches:
        log += landed(decide_all(aggregates, records).records, len(log))
    reader = fresh()
    reader.fold(log)
    return reader


# -- which way


@pytest.mark.parametrize(
    "message", [Carry(counter_id="c1"), RecordRing(counter_id="c1")], ids=["a reaction", "an outcome"]
)
def test_a_stranger_cannot_ask_what_a_context_asks_itself(message: Any) -> None:
    record = own(message, "mine", 0)._replace(topic=CONTEXT.commands_topic)
    (answer,) = events(decide(fresh(), [record]))
    assert answer.code == "not_yours" and "it can be asked counter.Add, counter.Empty" in answer.reason


def test_what_only_others_ask_does_not_come_by_the_own_way() -> None:
    (answer,) = events(decide(fresh(), [own(add(1), "mine", 0)]))
    assert answer.code == "not_yours"


def test_what_may_come_either_way_is_decided_by_both() -> None:
    aggregates = fresh()
    decide_all(aggregates, commands((add(1), "a")))
    assert said(decide(aggregates, [own(Empty(counter_id="c1", filling=0), "b", 0)])) == [("Emptied", "b")]
    assert said(decide(aggregates, commands((Empty(counter_id="c1", filling=0), "c"), start=1))) == [("Emptied", "c")]


def test_each_way_has_a_cursor_of_its_own() -> None:
    aggregates = fresh()
    reader = folded(aggregates, commands((add(1), "a"), start=41), [carry(1, b"t/0/7/0", 3)])
    assert aggregates.cursors == reader.cursors == [42, 4]


def test_what_is_behind_one_cursor_may_be_in_front_of_the_other() -> None:
    aggregates = fresh()
    decide_all(aggregates, commands((add(1), "a"), start=41))
    assert said(decide(aggregates, [carry(1, b"t/0/7/0", 3)])) == [("Carried", "r-t/0/7/0")]


def test_what_belongs_elsewhere_is_sent_by_the_way_it_came() -> None:
    aggregates = fresh(partitions=4, number=(partition_of(b"c1", 4) + 1) % 4)
    decision = decide(aggregates, [carry(1, b"t/0/7/0", 3)])
    (posted,) = decision.forwards
    headers = dict(posted.forwarded().headers)
    assert headers[REACTION] == b"t/0@0/7/0" and decision.way.name == "OWN", "and says where it was asked"


# -- reactions


def test_a_reaction_counts_once() -> None:
    aggregates = fresh()
    reader = folded(aggregates, [carry(1, b"t/0/7/0", 0)])
    for knows in (aggregates, reader):
        assert decide(knows, [carry(1, b"t/0/7/0", 1)]).records == []
        assert said(decide(knows, [carry(1, b"t/0/7/1", 1)])) == [("Carried", "r-t/0/7/1")]


def test_each_source_has_a_mark_of_its_own() -> None:
    aggregates = fresh()
    decide_all(aggregates, [carry(1, b"t/0/7/0", 0)])
    others = [carry(1, b"t/1/3/0", 1), carry(1, b"u/0/3/0", 2)]
    assert [event for event, _ in said(decide(aggregates, others))] == ["Carried", "Carried"]


def test_a_mark_is_of_the_partition_and_not_of_the_aggregate() -> None:
    aggregates = fresh()
    decide_all(aggregates, [carry(1, b"t/0/7/0", 0), carry(2, b"t/0/7/1", 1)])
    assert aggregates.marks == {b"t/0": (7, 1)} and aggregates.decided == {}


def test_a_reaction_that_was_rejected_moves_the_mark_and_counts_when_it_is_sent_again() -> None:
    # given a reaction that could not be processed, and a later one
    aggregates, broken = fresh(), carry(1, b"t/0/7/0", 0)
    decide_all(aggregates, [broken._replace(value=b"junk"), carry(2, b"t/0/8/0", 1)])
    # when it is mended and sent again
    decision = decide_all(aggregates, [broken._replace(offset=2)])
    # then it counts, and the mark stays where the later one has put it
    assert said(decision) == [("Carried", "r-t/0/7/0")]
    assert aggregates.marks == {b"t/0": (8, 0)}
    assert decide(aggregates, [carry(2, b"t/0/8/0", 3)]).records == []


def test_in_one_batch_an_older_reaction_that_is_sent_again_does_not_let_a_newer_one_in_twice() -> None:
    aggregates, broken = fresh(), carry(1, b"t/0/7/0", 0)
    decide_all(aggregates, [broken._replace(value=b"junk"), carry(2, b"t/0/8/0", 1)])
    again = [broken._replace(offset=2), carry(2, b"t/0/8/0", 3)]
    assert said(decide(aggregates, again)) == [("Carried", "r-t/0/7/0")]


def test_a_reaction_without_a_place_that_can_be_understood_is_rejected() -> None:
    (answer,) = events(decide(fresh(), [own(Carry(counter_id="c1"), "r", 0, (REACTION, b"nowhere"))]))
    assert answer.code == "bad_header"


def test_a_reaction_to_a_copied_event_is_known_by_where_the_event_was_before() -> None:
    aggregates = fresh()
    decide_all(aggregates, [carry(1, b"t/0/7/0", 0), carry(1, b"t/0/7/1", 1)])
    for number, place, is_known in ((1, b"t/0/7", True), (0, b"t/0/8", False), (0, b"s/3/1 t/0/7", True)):
        reaction = carry(1, b"t.2/5/4/%d" % number, 2)
        again = reaction._replace(headers=[*reaction.headers, (EARLIER, place)])
        assert (decide(aggregates, [again]).records == []) is is_known, place


@pytest.mark.parametrize("first", [7, 8])
def test_of_two_reactions_that_are_handed_on_neither_overtakes_the_other_out_of_the_log(first: int) -> None:
    # given reactions of one source that lie in two partitions of before, and belong to one now
    aggregates = fresh()
    places = {7: b"t/0@1/7/0", 8: b"t/0@2/8/0"}
    for offset, at in enumerate((first, 15 - first)):
        # when they come in any order, then both count
        assert len(decide_all(aggregates, [carry(at, places[at], offset)]).records) == 1
    # and none of them once more, by whichever way
    for again in (b"t/0@1/7/0", b"t/0/7/0", b"t/0@2/8/0", b"t/0/8/0"):
        assert decide(aggregates, [carry(int(again.split(b"/")[-2]), again, 2)]).records == []


def test_what_was_said_before_a_policy_began_is_not_reacted_to() -> None:
    aggregates = fresh()
    begun = of_itself(CODEC, Begun(places=("t/0/7", "t/1/0")), CONTEXT, ("counter.events", 0), 0, NOW)
    aggregates.fold(landed([begun], 0))
    assert decide(aggregates, [carry(1, b"t/0/6/1", 0)]).records == []
    assert [event for event, _ in said(decide(aggregates, [carry(1, b"t/0/7/0", 0)]))] == ["Carried"]
    assert [event for event, _ in said(decide(aggregates, [carry(1, b"t/1/0/0", 0)]))] == ["Carried"]


# -- answers


def full() -> Aggregates:
    """A counter that wants its bell rung."""
    aggregates = fresh()
    decide_all(aggregates, commands((add(1, 3), "a")))
    return aggregates


def test_an_outcome_counts_while_what_it_answers_is_open() -> None:
    ring = own(RecordRing(counter_id="c1"), "o", 0, (OUTCOME_OF, b"counter.events/0/0"))
    aggregates = full()
    assert said(decide_all(aggregates, [ring])) == [("Rung", "o")]
    assert decide(aggregates, [ring._replace(offset=1)]).records == []


def test_an_outcome_of_something_else_does_not_count() -> None:
    late = own(RecordRing(counter_id="c1"), "o", 0, (OUTCOME_OF, b"counter.events/0/77"))
    assert decide(full(), [late]).records == []


def test_an_outcome_is_no_deadline() -> None:
    wrong = own(RecordRing(counter_id="c1"), "o", 0, (DUE_OF, b"counter.events/0/0"))
    assert decide(full(), [wrong]).records == []


def answered_late(wanted: Any, elsewhere: Read, next_: Any, answer: Read) -> tuple[Aggregates, Read]:
    """An answer at the head of its queue: what it is to was answered elsewhere in front of it, and something else is wanted."""
    aggregates = fresh()
    decide_all(aggregates, commands((wanted, "a")))
    decide_all(aggregates, [failing(b"c1", b"bad", 1)])
    waiting = [elsewhere, *commands((next_, "b"), start=3), answer]
    for record in waiting:
        decide_all(aggregates, [record])
    decide_all(aggregates, [discard(b"bad", 4)])
    decide_all(aggregates, [elsewhere._replace(offset=5)])
    decide_all(aggregates, commands((next_, "b"), start=6))
    return aggregates, answer._replace(offset=7)


OPENED = b"counter.events/0/0"
BELATED = {
    "an outcome": lambda: answered_late(
        add(1, 3),
        own(RecordRing(counter_id="c1"), "evt-1", 2),
        add(1, 3),
        own(RecordRing(counter_id="c1"), "o", 3, (OUTCOME_OF, OPENED)),
    ),
    "a deadline": lambda: answered_late(
        add(1),
        commands((Empty(counter_id="c1", filling=0), "e"), start=2)[0],
        add(1),
        own(Empty(counter_id="c1", filling=1), "d", 3, (DUE_OF, OPENED))._replace(timestamp=NOW + 1000 * PATIENCE_S),
    ),
}


@pytest.mark.parametrize("what", BELATED)
def test_what_waited_does_not_answer_what_was_wanted_since(what: str) -> None:
    aggregates, answer = BELATED[what]()
    wanted = dict(aggregates.intents)
    decision = decide_all(aggregates, [answer])
    assert ([event.code for event in events(decision)], aggregates.intents) == (["nothing_to_do"], wanted)


@pytest.mark.parametrize("what", BELATED)
def test_what_waited_in_vain_leaves_the_queue_also_for_who_reads_the_log(what: str) -> None:
    aggregates, answer = BELATED[what]()
    reader = deepcopy(aggregates)
    reader.fold(landed(decide_all(aggregates, [answer]).records, reader.next_offset))
    assert aggregates.queues == reader.queues == {}


def test_an_outcome_that_waited_counts_while_what_it_answers_is_open() -> None:
    aggregates = full()
    outcome = own(RecordRing(counter_id="c1"), "o", 0, (OUTCOME_OF, OPENED))
    decide_all(aggregates, [failing(b"c1", b"bad", 1)])
    decide_all(aggregates, [outcome])
    decide_all(aggregates, [discard(b"bad", 2)])
    assert said(decide(aggregates, [outcome._replace(offset=1)])) == [("Rung", "o")]


def test_what_answers_nothing_and_has_no_place_is_known_by_its_id() -> None:
    aggregates, webhook = fresh(), own(RecordRing(counter_id="c1"), "evt-1", 0)
    reader = folded(aggregates, commands((add(1, 3), "a")), [webhook])
    for knows in (aggregates, reader):
        assert decide(knows, [webhook._replace(offset=1)]).records == []
    assert aggregates.decided == reader.decided


# -- ids


def test_another_content_under_an_id_is_refused_and_changes_nothing() -> None:
    aggregates = fresh()
    decide_all(aggregates, commands((add(1, 2), "a")))
    decision = decide_all(aggregates, commands((add(1, 1), "a"), start=1))
    assert [(type(event), event.code) for event in events(decision)] == [(Refused, "id_reused")]
    assert said(decide(aggregates, commands((add(1, 2), "a"), start=2))) == []


def test_who_reads_the_log_knows_the_content_an_id_stands_for() -> None:
    reader = folded(fresh(), commands((add(1, 2), "a")), commands((add(1, 1), "a"), start=1))
    assert decide(reader, commands((add(1, 2), "a"), start=2)).records == []
    assert events(decide(reader, commands((add(1, 1), "a"), start=2)))[0].code == "id_reused"


def test_who_takes_an_id_hears_of_it_also_while_others_wait() -> None:
    aggregates = fresh()
    decide_all(aggregates, [*commands((add(1, 2), "a")), failing(b"c1", b"bad", 1)])
    assert [e.code for e in events(decide(aggregates, commands((add(1, 1), "a"), start=2)))] == ["id_reused"]


def test_a_stranger_cannot_take_the_id_our_own_command_is_going_to_have() -> None:
    aggregates = fresh()
    reader = folded(aggregates, commands((add(1), "r-t/0/7/0"), (add(1), "counter.events/0/0/outcome")))
    for knows in (aggregates, reader):
        assert said(decide(knows, [carry(1, b"t/0/7/0", 0)])) == [("Carried", "r-t/0/7/0")]


def test_a_stranger_cannot_pass_for_our_own_command_that_waits() -> None:
    # given one of our own that could not be processed
    aggregates, broken = fresh(), carry(1, b"t/0/7/0", 0)
    decide_all(aggregates, [broken._replace(value=b"junk")])
    # when a stranger asks under its id
    stranger = decide_all(aggregates, commands((add(1), "r-t/0/7/0")))
    # then that waits behind it, and what waited can still be sent again
    assert said(stranger) == [("Parked", "r-t/0/7/0")]
    assert said(decide(aggregates, [broken._replace(offset=1)])) == [("Carried", "r-t/0/7/0")]
