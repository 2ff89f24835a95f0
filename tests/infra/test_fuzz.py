"""Whoever reads what others wrote says what it is, whatever it is: a short form of `make fuzz`."""

import pytest

from tests.fuzz import throw


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_that_is_nearly_right_is_a_surprise(seed: int) -> None:
    assert throw(10_000_000 + seed, 3000).wrong == []


def test_a_surprise_is_said_with_the_seed_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    def surprised(dice: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tests.fuzz.READERS", (surprised,))
    assert throw(7, 1).wrong == ["seed 7 input 0, surprised: ZeroDivisionError()"]


def test_so_is_what_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.READERS", (lambda dice: None,))
    monkeypatch.setattr("tests.fuzz.MOST_S", -1)
    assert "it took" in throw(7, 1).wrong[0]
