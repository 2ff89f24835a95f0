from dataclasses import replace

import pytest

from streams.notifications.policy import react
from tests.orders.examples import cancelled, confirmed


def test_a_customer_is_told_what_is_charged() -> None:
    (command,) = react(confirmed)
    assert (command.notification_id, command.recipient) == ("order-1/confirmed", "ada@example.org")
    assert "26.30 EUR" in command.body


def test_a_customer_is_told_why_an_order_was_cancelled() -> None:
    (command,) = react(cancelled("out of tea"))
    assert command.notification_id == "order-1/cancelled"
    assert "out of tea" in command.body


@pytest.mark.parametrize(("currency", "shown"), [("EUR", "26.30 EUR"), ("JPY", "2630 JPY"), ("KWD", "2.630 KWD")])
def test_money_has_the_digits_of_its_currency(currency: str, shown: str) -> None:
    (command,) = react(replace(confirmed, currency=currency))
    assert shown in command.body
