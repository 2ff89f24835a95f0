from dataclasses import replace

import pytest

from infra.messages import Due
from infra.testing.given import given
from streams.users.decider import email
from tests.users.examples import confirm, confirmed, expire, release, released, reserve, reserved, taken

OTHER = "user-2"


def test_a_free_address_is_reserved() -> None:
    given(email).when(reserve).then(reserved)


@pytest.mark.parametrize("history", [(reserved,), (reserved, confirmed)])
def test_an_address_somebody_has_is_refused_to_others(history: tuple[object, ...]) -> None:
    given(email, *history).when(replace(reserve, user_id=OTHER)).then(replace(taken, user_id=OTHER))


def test_a_reservation_is_confirmed() -> None:
    given(email, reserved).when(confirm).then(confirmed)


def test_a_reservation_that_is_gone_is_not_confirmed() -> None:
    given(email, reserved, released).when(confirm).then(taken)


def test_a_reservation_of_another_is_not_confirmed() -> None:
    given(email, replace(reserved, user_id=OTHER)).when(confirm).then(taken)


@pytest.mark.parametrize("history", [(reserved,), (reserved, confirmed)])
def test_an_address_is_released_by_who_has_it(history: tuple[object, ...]) -> None:
    given(email, *history).when(release).then(released)


@pytest.mark.parametrize("command", [release, expire])
def test_an_address_of_another_is_not_released(command: object) -> None:
    given(email, replace(reserved, user_id=OTHER)).when(command).then()


def test_a_reservation_nobody_confirms_expires() -> None:
    given(email, reserved).when(expire).then(released)


def test_a_confirmed_address_does_not_expire() -> None:
    given(email, reserved, confirmed).when(expire).then()


@pytest.mark.parametrize(
    ("history", "due"),
    [((), None), ((reserved,), Due(3600, expire)), ((reserved, confirmed), None), ((reserved, released), None)],
)
def test_a_reservation_has_a_deadline(history: tuple[object, ...], due: Due | None) -> None:
    state = email.initial
    for event in history:
        state = email.evolve(state, event)
    assert email.due("k1", state) == due
