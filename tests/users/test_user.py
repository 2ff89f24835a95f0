from dataclasses import replace

import pytest

from infra.testing.given import given
from schemas.users import Channel, ContactChannelsChanged, ProfileChanged
from streams.users.decider import user
from tests.users.examples import (
    USER,
    activate,
    active,
    by_sms,
    claim,
    claimed,
    destroyed,
    erase,
    erased,
    record_erasure,
    refuse,
    refused,
    register,
    registered,
    registration,
    rename,
    sms,
)


def test_a_registration_is_requested() -> None:
    given(user).when(register).then(registration)


@pytest.mark.parametrize("history", [(registration,), active])
def test_a_user_is_registered_once(history: tuple[object, ...]) -> None:
    given(user, *history).when(register).then_refused("already_registered")


def test_a_user_needs_an_address() -> None:
    given(user).when(replace(register, email="")).then_refused("no_email")


@pytest.mark.parametrize("key", ["", "k" * 256, "k\0"])
def test_the_key_of_an_address_is_the_id_of_a_reservation(key: str) -> None:
    given(user).when(replace(register, email_key=key)).then_refused("no_email")


def test_a_user_claims_the_address_that_was_reserved_for_them() -> None:
    given(user, registration).when(claim).then(claimed)


def test_a_user_is_registered_once_the_address_is_confirmed() -> None:
    given(user, registration, claimed).when(activate).then(registered)


def test_a_user_whose_address_is_taken_is_refused() -> None:
    given(user, registration).when(refuse).then(refused)


def test_a_refused_user_may_register_with_another_address() -> None:
    again = replace(register, email_key="k2")
    given(user, registration, refused).when(again).then(replace(registration, email_key="k2"))


@pytest.mark.parametrize("late", [claim, activate, refuse])
def test_news_of_another_address_is_no_news(late: object) -> None:
    given(user, replace(registration, email_key="k2")).when(late).then()


def test_a_profile_is_changed() -> None:
    given(user, *active).when(rename).then(ProfileChanged(user_id=USER, name="another sealed name"))


def test_contact_channels_are_changed() -> None:
    given(user, *active).when(by_sms).then(ContactChannelsChanged(user_id=USER, channels=(sms,)))


@pytest.mark.parametrize(
    "channels",
    [(replace(sms, kind="pigeon"),), (replace(sms, address=""),), (sms,) * 11, (replace(sms, address="x" * 9000),)],
)
def test_a_channel_that_makes_no_sense_is_refused(channels: tuple[Channel, ...]) -> None:
    given(user, *active).when(replace(by_sms, channels=channels)).then_refused("bad_channel")


@pytest.mark.parametrize("command", [rename, by_sms])
def test_who_is_not_active_yet_changes_nothing(command: object) -> None:
    given(user, registration).when(command).then_refused("not_active")


@pytest.mark.parametrize("history", [(registration,), active])
def test_a_user_is_erased(history: tuple[object, ...]) -> None:
    given(user, *history).when(erase).then(erased)


def test_the_id_of_an_erased_user_is_not_used_again() -> None:
    given(user, *active, erased).when(register).then_refused("erased")


@pytest.mark.parametrize("late", [erase, claim, activate, rename, by_sms])
def test_an_erased_user_stays_so(late: object) -> None:
    given(user, *active, erased).when(late).then()


def test_the_destruction_of_the_key_is_recorded() -> None:
    given(user, *active, erased).when(record_erasure).then(destroyed)


@pytest.mark.parametrize(
    ("history", "open_"), [(active, False), ((*active, erased), True), ((*active, erased, destroyed), False)]
)
def test_the_key_of_an_erased_user_is_to_be_destroyed(history: tuple[object, ...], open_: bool) -> None:
    state = user.initial
    for event in history:
        state = user.evolve(state, event)
    assert (user.pending(USER, state) is not None) == open_


@pytest.mark.parametrize("command", [rename, by_sms, erase, claim])
def test_a_user_nobody_registered_is_unknown(command: object) -> None:
    given(user).when(command).then_refused("unknown_user")
