from dataclasses import replace

import pytest

from infra.messages import Due
from infra.testing.given import given
from schemas.notifications import ChannelChosen, TellingPostponed
from streams.notifications.decider import customer
from tests.notifications.examples import (
    CUSTOMER,
    chosen,
    email,
    forget,
    forgotten,
    give_up,
    go_on,
    known,
    postponed,
    record,
    skipped,
    sms,
    tell,
)


def test_a_known_customer_is_told_the_way_they_prefer() -> None:
    given(customer, known).when(tell).then(chosen)


def test_the_first_channel_that_is_switched_on_is_chosen() -> None:
    channels = (replace(email, enabled=False), sms)
    choice = replace(chosen, channel="sms", recipient=sms.address)
    given(customer, replace(known, channels=channels)).when(tell).then(choice)


def test_a_customer_with_every_channel_off_is_not_told() -> None:
    off = replace(known, channels=(replace(email, enabled=False),))
    given(customer, off).when(tell).then(skipped("the customer has switched every channel off"))


def test_an_unknown_customer_is_told_later() -> None:
    given(customer).when(tell).then(postponed)


def test_a_customer_is_told_what_waited_once_they_are_known() -> None:
    given(customer, postponed).when(record).then(known, chosen)


def waiting(count: int) -> list[TellingPostponed]:
    return [replace(postponed, notification_id=f"order-{n}/confirmed") for n in range(count)]


def told(told_of: list[TellingPostponed]) -> list[ChannelChosen]:
    return [replace(chosen, notification_id=telling.notification_id) for telling in told_of]


def test_what_waited_is_told_in_portions() -> None:
    # given more that waits than is told at once
    first, rest = waiting(customer.TOLD_AT_ONCE + 2)[: customer.TOLD_AT_ONCE], waiting(customer.TOLD_AT_ONCE + 2)[-2:]
    # when the customer becomes known, then some of it is told
    given(customer, *first, *rest).when(record).then(known, *told(first))
    # and the rest when the clock says so, at once
    given(customer, *first, *rest, known, *told(first)).when(go_on).then(*told(rest))
    given(customer, *first, *rest, known, *told(first), *told(rest)).when(go_on).then()


def test_what_is_still_to_be_told_has_a_moment_of_its_own_each_time() -> None:
    state = customer.initial
    for event in (*waiting(3), known):
        state = customer.evolve(state, event)
    assert customer.due(CUSTOMER, state) == Due(0, replace(go_on, left=3))


def test_a_customer_is_told_once_of_what_is_still_to_be_told() -> None:
    given(customer, postponed, known).when(tell).then()


def test_a_customer_who_is_erased_meanwhile_is_not_told_the_rest() -> None:
    given(customer, postponed, known).when(forget).then(forgotten, skipped("the customer was erased"))


def test_a_customer_who_never_becomes_known_is_given_up() -> None:
    given(customer, postponed).when(give_up).then(skipped("nothing became known of the customer"))


def test_a_customer_who_is_known_by_now_is_not_given_up() -> None:
    given(customer, postponed, known, chosen).when(give_up).then()


def test_an_erased_customer_is_forgotten_with_what_waited() -> None:
    given(customer, postponed).when(forget).then(forgotten, skipped("the customer was erased"))


@pytest.mark.parametrize("history", [(forgotten,), (known, forgotten)])
def test_an_erased_customer_is_not_told(history: tuple[object, ...]) -> None:
    given(customer, *history).when(tell).then(skipped("the customer was erased"))


def test_an_erased_customer_stays_forgotten() -> None:
    given(customer, known, forgotten).when(record).then()


def test_an_occasion_without_words_is_refused() -> None:
    given(customer, known).when(replace(tell, occasion="birthday")).then_refused("unknown_occasion")


@pytest.mark.parametrize(
    ("history", "due"),
    [((), None), ((postponed,), Due(customer.UNKNOWN_S, give_up)), ((postponed, known, chosen), None)],
)
def test_what_waits_has_a_deadline(history: tuple[object, ...], due: Due | None) -> None:
    state = customer.initial
    for event in history:
        state = customer.evolve(state, event)
    assert customer.due(CUSTOMER, state) == due
