"""Passwords: kept as argon2id, checked in the same way for whoever is not there."""

import pytest
from argon2 import PasswordHasher

from infra.edge.identity.passwords import Passwords
from infra.errors import Refusal

GOOD = "correct horse battery staple"


async def test_a_password_is_kept_as_argon2id() -> None:
    stored_hash = await Passwords().hashed(GOOD)
    assert stored_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await Passwords().matches(stored_hash, GOOD)


@pytest.mark.parametrize("wrong", ["", "correct horse battery stapler", GOOD + "x" * 10_000])
async def test_another_password_does_not_match(wrong: str) -> None:
    assert not await Passwords().matches(await Passwords().hashed(GOOD), wrong)


async def test_nobody_has_no_password() -> None:
    assert not await Passwords().matches(None, GOOD)


@pytest.mark.parametrize("bad", ["short", "x" * 257])
async def test_a_password_that_is_too_short_or_too_long_is_refused(bad: str) -> None:
    with pytest.raises(Refusal, match="12 to 256"):
        await Passwords().hashed(bad)


async def test_a_weaker_hash_is_to_be_renewed() -> None:
    assert Passwords().outdated(PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(GOOD))
    assert not Passwords().outdated(await Passwords().hashed(GOOD))
