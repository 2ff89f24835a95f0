"""Rows from batches are rows from one record after another, whatever the batches, their order, and where somebody began anew."""

import random
from dataclasses import fields, replace
from typing import Any

import pytest

from infra.errors import LogDamaged, OfNewerCode, Unwritable
from infra.messages import Meta
from infra.read.fold import Fold, recorded, stored
from infra.wire.envelope import EXPECTED_OFFSET, meta
from infra.wire.record import when, with_header
from tests.infra.anew import rows_of
from tests.infra.recorded_log import CODEC, LOG, PROJECTIONS, hashed, log_of, shuffled


@pytest.mark.parametrize("name", PROJECTIONS)
@pytest.mark.parametrize("seed", range(4))
def test_any_batches_in_any_order_of_partitions_make_the_same_table(name: str, seed: int) -> None:
    projection, dice = PROJECTIONS[name], random.Random(seed)
    fold = Fold(projection, CODEC)
    records = list(shuffled(log_of(projection), dice))
    rows: dict[str, Any] = {}
    while records:
        size = dice.choice((1, 7, 100, 3000))
        fold.apply(rows, fold.facts(records[:size]))
        records = records[size:]
        if dice.random() < 0.3:  # somebody begins anew with what is in the database
            rows = {k: stored(projection, row) for k, row in rows.items() if row is not None}
    assert hashed(projection, rows) == hashed(projection, rows_of(projection, log_of(projection)))


@pytest.mark.parametrize("name", PROJECTIONS)
def test_there_is_something_to_compare(name: str) -> None:
    assert rows_of(PROJECTIONS[name], log_of(PROJECTIONS[name]))


def test_what_is_known_of_an_event_is_the_same_when_it_is_read_later() -> None:
    for record in LOG[:500]:
        headers = dict(record.headers)
        if EXPECTED_OFFSET in headers:
            later = recorded(record, when(record.timestamp))
            for field in fields(Meta):
                assert getattr(later, field.name) == getattr(meta(record, headers), field.name)


def test_what_is_not_known_of_an_event_is_an_error() -> None:
    with pytest.raises(AttributeError):
        _ = recorded(LOG[0], when(0)).nothing  # type: ignore[attr-defined]


def test_a_void_record_is_no_fact() -> None:
    fold = Fold(PROJECTIONS["orders"], CODEC)
    placed = next(r for r in LOG if dict(r.headers).get("ce_type") == b"orders.OrderPlaced")
    void = placed._replace(headers=with_header(placed.headers, EXPECTED_OFFSET, b"7777"))
    assert len(fold.facts([placed])) == 1
    assert fold.facts([void]) == []


def test_an_accepted_event_that_nobody_can_read_stops_the_projector() -> None:
    fold = Fold(PROJECTIONS["orders"], CODEC)
    placed = next(r for r in LOG if dict(r.headers).get("ce_type") == b"orders.OrderPlaced")
    with pytest.raises(LogDamaged, match=rf"{placed.topic}/{placed.partition}/{placed.offset} was accepted"):
        fold.facts([placed._replace(value=(placed.value or b"")[:9])])


NEWER = b"\0\x00\xff\xff\xff"  # of a schema that is locked nowhere


def test_what_newer_code_has_said_stops_a_reader_that_does_not_know_it() -> None:
    fold = Fold(PROJECTIONS["orders"], CODEC)
    placed = next(r for r in LOG if dict(r.headers).get("ce_type") == b"orders.OrderPlaced")
    newer = placed._replace(value=NEWER + b"whatever", headers=with_header(placed.headers, "ce_type", b"orders.Newer"))
    with pytest.raises(OfNewerCode, match="this code is older than the log"):
        fold.facts([newer])


def test_what_does_not_count_stops_nobody_whatever_it_looks_like() -> None:
    fold = Fold(PROJECTIONS["orders"], CODEC)
    placed = next(r for r in LOG if dict(r.headers).get("ce_type") == b"orders.OrderPlaced")
    void = with_header(placed.headers, EXPECTED_OFFSET, b"7777")
    assert fold.facts([placed._replace(value=value, headers=void) for value in (NEWER, b"junk", b"", None)]) == []


def test_what_a_reader_knows_and_does_not_want_is_passed_over() -> None:
    fold = Fold(PROJECTIONS["stock"], CODEC)
    placed = next(r for r in LOG if dict(r.headers).get("ce_type") == b"orders.OrderPlaced")
    assert (placed.value or b"")[:5] in fold.unwanted
    assert fold.facts([placed]) == []


def test_a_projection_that_fails_at_an_event_names_it() -> None:
    def fails(row: object, event: object, m: object) -> object:
        raise ZeroDivisionError("a bug")

    fold = Fold(replace(PROJECTIONS["orders"], project=fails), CODEC)
    placed = next(r for r in LOG if dict(r.headers).get("ce_type") == b"orders.OrderPlaced")
    with pytest.raises(
        Unwritable, match=rf"orders cannot be made of {placed.topic}/{placed.partition}/{placed.offset}: "
    ):
        fold.apply({}, fold.facts([placed]))
