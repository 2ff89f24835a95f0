from typing import Any

import pytest

from commands.users import ActivateUser, ClaimEmail, ConfirmEmail, RefuseRegistration, ReleaseEmail, ReserveEmail
from streams.users.policy import react
from tests.users.examples import PAIR, claimed, confirmed, erased, registration, reserved, taken


@pytest.mark.parametrize(
    ("event", "asked"),
    [
        (registration, ReserveEmail),
        (reserved, ClaimEmail),
        (claimed, ConfirmEmail),
        (confirmed, ActivateUser),
        (taken, RefuseRegistration),
        (erased, ReleaseEmail),
    ],
)
def test_a_user_and_an_address_come_together_step_by_step(event: Any, asked: Any) -> None:
    assert list(react(event)) == [asked(**PAIR)]
