"""Ids that follow from others."""

import pytest

from infra.messages import MAX_ID, derived_id, is_id


def test_an_id_that_follows_from_others_names_them() -> None:
    assert derived_id("order-1", "refunded", "r1") == "order-1/refunded/r1"


LONG = [("o" * MAX_ID, "confirmed"), ("ö" * MAX_ID, "confirmed"), ("o" * 5000, "x"), ("a\0b", "x")]


@pytest.mark.parametrize("parts", [*LONG, ("\ud800" * 300, "x")], ids=range(5))
def test_it_is_an_id_whatever_they_are(parts: tuple[str, ...]) -> None:
    assert is_id(derived_id(*parts)) and derived_id(*parts) == derived_id(*parts)


def test_others_lead_to_another_one_also_where_it_does_not_name_them_whole() -> None:
    long = "o" * MAX_ID
    ids = {
        derived_id(long, "confirmed"),
        derived_id(long, "shipped"),
        derived_id(long + "p", "shipped"),
        derived_id("a\0b"),
        derived_id("ab\0"),
    }
    assert len(ids) == 5
