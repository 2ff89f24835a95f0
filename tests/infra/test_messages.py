"""Ids that follow from others."""

import json

import pytest

from infra.messages import MAX_ID, derived_id, is_id, shown_json


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


ODD = {
    "a NUL": ({"a": "x\0y"}, {"a": "x\ufffdy"}),
    "a backslash and what looks like one": ({"a": "C:\\u0000x"}, {"a": "C:\\u0000x"}),
    "both": ({"a": "\0\\u0000"}, {"a": "\ufffd\\u0000"}),
    "in a name": ({"a\0": 1}, {"a\ufffd": 1}),
    "nested": ({"a": [{"b": "\0"}, ("\0",)]}, {"a": [{"b": "\ufffd"}, ["\ufffd"]]}),
    "no number": ({"a": float("nan"), "b": float("-inf"), "c": "\0"}, {"a": "nan", "b": "-inf", "c": "\ufffd"}),
    "nothing of it": ({"a": "ö\n\u202e", "b": None, "c": 1.5}, {"a": "ö\n\u202e", "b": None, "c": 1.5}),
}


@pytest.mark.parametrize("what", ODD)
def test_content_is_shown_as_json_that_postgres_takes(what: str) -> None:
    content, shown = ODD[what]
    text = shown_json(content)
    assert json.loads(text) == shown
    assert "\0" not in text and "\\u0000" not in text.replace("\\\\", "")
