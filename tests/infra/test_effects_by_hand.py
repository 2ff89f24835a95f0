"""What is open outside, as a person sees it, and what they may answer."""

from dataclasses import replace
from typing import Any

import pytest

from infra.errors import Unreadable, Unusable
from infra.ops.effects import BY_HAND, Open, given_up, outcome_in, shown
from infra.wire.envelope import ID, OUTCOME_OF
from infra.wire.record import Outgoing, Read
from infra.write.effects import Misdirected, outcome_of
from infra.write.intents import PENDING, Intent
from infra.write.tries import ALL, MAX_AGE_S, again_record, is_parked, state_record
from tests.counter.commands.counter import Carry, RecordRing
from tests.counter.mesh import mesh
from tests.counter.streams.counter.decider import Ring
from tests.infra.counter_log import CODEC, CONTEXT, NOW

DAY_S = 24 * 3600


def wish(number: int, age_s: float = 0.0) -> Intent:
    at = NOW - int(age_s * 1000)
    return Intent(f"counter.events/0/{number}", 0, b"c%d" % number + PENDING, Ring(f"c{number}"), "r", at)


def read(*records: Outgoing) -> list[Read]:
    return [Read("weft.effects", 0, i, 0, r.key, r.value, ()) for i, r in enumerate(records)]


def seen(*intents: Intent, said: tuple[Outgoing, ...] = ()) -> list[Open]:
    return shown(CONTEXT, intents, read(*said), NOW / 1000)


def tried(number: int) -> dict[str, Any]:
    return {"key": f"counter.events/0/{number}", "target": "bell", "tries": 3, "said": "away"}


def test_what_is_open_is_shown_with_what_was_said_oldest_first() -> None:
    found = seen(
        wish(1), wish(2, age_s=60), wish(3, age_s=3 * DAY_S), said=(state_record("counter", 0, 1, [tried(2)]),)
    )
    assert [(w.subject, w.wanted, w.target, w.state, w.tries, w.said) for w in found] == [
        ("c3", "Ring", "bell", "parked", 0, ""),
        ("c2", "Ring", "bell", "tried", 3, "away"),
        ("c1", "Ring", "bell", "open", 0, ""),
    ]
    assert [w.age_s for w in found] == [3 * DAY_S, 60, 0]


def test_what_another_context_says_is_not_its() -> None:
    (found,) = seen(wish(2), said=(state_record("other", 0, 1, [tried(2)]),))
    assert found.state == "open"


def test_what_somebody_wants_to_be_tried_again_is_not_parked_for_another_day() -> None:
    (found,) = seen(wish(3, age_s=3 * DAY_S), said=(again_record("counter", ALL, NOW),))
    assert found.state == "open"
    assert is_parked("k", NOW, {"k": NOW + DAY_S * 1000}, NOW / 1000 + 2 * DAY_S + 1)


@pytest.mark.parametrize(("age_s", "parked"), [(0, False), (MAX_AGE_S - 1, False), (MAX_AGE_S + 1, True)])
def test_what_is_older_than_a_day_is_parked(age_s: float, parked: bool) -> None:
    assert is_parked("k", NOW, {}, NOW / 1000 + age_s) is parked


def test_a_wish_from_the_future_is_one_of_now() -> None:
    assert is_parked("k", NOW, {"": 1 << 60}, NOW / 1000 + 2 * DAY_S) is False


def test_an_answer_by_hand_is_the_outcome_of_the_intent() -> None:
    (found,) = seen(wish(1))
    outcome = outcome_in(mesh, CONTEXT, found, "counter.RecordRing", "{}")
    assert outcome == RecordRing(counter_id="c1")
    headers = dict(outcome_of(CONTEXT, CODEC, found.intent, outcome, BY_HAND).headers)
    assert (headers[OUTCOME_OF], headers[ID]) == (b"counter.events/0/1", b"counter.events/0/1/by-hand")


@pytest.mark.parametrize(
    ("type_name", "payload", "code"),
    [
        ("counter.Add", '{"amount": 1}', "unknown_type"),
        ("counter.Nothing", "{}", "unknown_type"),
        ("counter.RecordRing", '{"counter_id": "c2"}', "key_mismatch"),
        ("counter.RecordRing", "{", "not_json"),
        ("counter.RecordRing", '{"loud": true}', "wrong_fields"),
    ],
)
def test_what_answers_nothing_is_refused(type_name: str, payload: str, code: str) -> None:
    (found,) = seen(wish(1))
    with pytest.raises(Unreadable) as raised:
        outcome_in(mesh, CONTEXT, found, type_name, payload)
    assert raised.value.code == code


def test_a_command_for_another_aggregate_is_no_outcome() -> None:
    with pytest.raises(Misdirected):
        outcome_of(CONTEXT, CODEC, wish(1), Carry(counter_id="c2"), BY_HAND)


def test_a_context_says_what_it_is_to_give_something_up() -> None:
    (found,) = seen(wish(1))
    able = replace(CONTEXT, give_up=lambda wanted, reason: RecordRing(counter_id=wanted.counter_id))
    assert given_up(able, found, "it is gone") == RecordRing(counter_id="c1")
    with pytest.raises(Unusable, match="weft effects answer"):
        given_up(CONTEXT, found, "it is gone")


def test_what_is_shown_of_a_wish_is_what_it_wants() -> None:
    (found,) = seen(wish(1))
    assert found.content() == {"counter_id": "c1"}
    assert "intent" not in found.shown()
