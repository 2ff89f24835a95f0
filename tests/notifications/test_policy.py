from dataclasses import replace

import pytest

from commands.notifications import ForgetContact, RecordContact
from infra import is_id
from schemas.notifications import Channel
from schemas.users import Channel as UserChannel
from schemas.users import ContactChannelsChanged, UserErased, UserRegistered
from streams.notifications.decider.templates import TEMPLATES, money, render
from streams.notifications.policy import react
from tests.notifications.examples import chosen, request
from tests.orders.examples import cancelled, confirmed, delivered, shipped
from tests.payments.examples import refunded


@pytest.mark.parametrize(
    ("event", "notification_id"),
    [
        (confirmed, "order-1/confirmed"),
        (cancelled("stock", "out of tea"), "order-1/cancelled"),
        (shipped, "order-1/shipped"),
        (delivered, "order-1/delivered"),
        (refunded("r1", 630), "order-1/refunded/r1"),
    ],
)
def test_every_occasion_is_told_under_an_id_of_its_own(event: object, notification_id: str) -> None:
    (command,) = react(event)
    assert command.notification_id == notification_id
    assert command.occasion in TEMPLATES


@pytest.mark.parametrize("order_id", ["o" * 255, "ö" * 255, "\U0001f375" * 255, "o/" * 127])
def test_an_occasion_of_any_order_is_told_under_an_id(order_id: str) -> None:
    (command,) = react(replace(confirmed, order_id=order_id))
    (other,) = react(replace(shipped, order_id=order_id))
    assert is_id(command.notification_id) and command.notification_id != other.notification_id
    assert [command] == list(react(replace(confirmed, order_id=order_id)))


def test_contacts_follow_the_users() -> None:
    theirs, ours = (kind(kind="sms", address="sealed", enabled=False) for kind in (UserChannel, Channel))
    registered = UserRegistered(user_id="u", email="sealed", name="sealed", channels=(theirs,))
    for event in (registered, ContactChannelsChanged(user_id="u", channels=(theirs,))):
        assert list(react(event)) == [RecordContact(customer_id="u", channels=(ours,))]


def test_the_erased_are_forgotten() -> None:
    assert list(react(UserErased(user_id="u", email_key="k"))) == [ForgetContact(customer_id="u")]


def test_what_was_chosen_is_requested() -> None:
    assert list(react(chosen)) == [request]


def test_a_customer_is_told_why_an_order_was_cancelled() -> None:
    assert "out of tea" in render("cancelled", "order-1", 0, "", "out of tea")[1]


@pytest.mark.parametrize(("currency", "shown"), [("EUR", "26.30 EUR"), ("JPY", "2630 JPY"), ("KWD", "2.630 KWD")])
def test_money_has_the_digits_of_its_currency(currency: str, shown: str) -> None:
    assert money(2630, currency) == shown
