"""Each projection: rows from events, and the same rows from the same events whatever way they are batched."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from infra import mesh
from projections import notifications, orders, payments, receipts, sagas
from schemas import Meta, Refused, Rejected
from schemas.notifications import NotificationFailed, NotificationRequested, NotificationSent
from tests.orders.examples import ORDER, cancelled, confirmed, placed
from tests.payments.examples import authorised, capture_requested, captured, declined, requested, void_requested, voided

T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOTE = {"notification_id": "n", "order_id": ORDER}
asked = NotificationRequested(**NOTE, channel="email", recipient="a@b", subject="s", body="b")


def meta(step: int = 0, **known: Any) -> Meta:
    return replace(
        Meta(
            context="orders",
            type="orders.OrderPlaced",
            id=f"orders.events/0/{step}",
            subject=ORDER,
            at=T0 + timedelta(seconds=step),
            topic="orders.events",
            partition=0,
            offset=step,
            command_id="c",
            command_type="orders.PlaceOrder",
            command_offset=0,
            correlation_id="c",
        ),
        **known,
    )


def fold(projection: Any, *events: Any) -> Any:
    row = None
    for step, event in enumerate(events):
        row = projection.project(row, event, meta(step))
    return row


@pytest.mark.parametrize(("end", "status"), [(confirmed, "confirmed"), (cancelled("why"), "cancelled")])
def test_an_order_row_follows_its_order(end: Any, status: str) -> None:
    row = fold(orders, placed, end)
    assert (row.status, row.total_minor, row.line_count, row.placed_at, row.closed_at) == (
        status,
        2630,
        2,
        T0,
        T0 + timedelta(seconds=1),
    )


@pytest.mark.parametrize(
    ("events", "status", "taken"),
    [
        ((requested,), "requested", 0),
        ((requested, authorised), "authorised", 0),
        ((requested, declined), "declined", 0),
        ((requested, authorised, capture_requested), "capturing", 0),
        ((requested, authorised, capture_requested, captured), "captured", 2630),
        ((requested, authorised, void_requested), "voiding", 0),
        ((requested, authorised, void_requested, voided), "voided", 0),
    ],
)
def test_a_payment_row_follows_its_payment(events: tuple[Any, ...], status: str, taken: int) -> None:
    row = fold(payments, *events)
    assert (row.status, row.captured_minor) == (status, taken)


@pytest.mark.parametrize(
    ("end", "status"),
    [(NotificationSent(**NOTE, message_id="<1>"), "sent"), (NotificationFailed(**NOTE, reason="no"), "failed")],
)
def test_a_notification_row_follows_its_message(end: Any, status: str) -> None:
    assert fold(notifications, asked, end).status == status


def test_a_saga_is_the_same_whichever_context_is_heard_first() -> None:
    events = [(placed, 0), (requested, 1), (authorised, 2), (confirmed, 3)]

    def seen(order: Any) -> Any:
        row = None
        for event, step in order:
            row = sagas.project(row, event, meta(step))
        return row

    assert len({seen(order) for order in permutations(events)}) == 1


def test_a_receipt_names_every_event_of_its_command() -> None:
    row = receipts.project(None, placed, meta(0))
    row = receipts.project(row, confirmed, meta(1, type="orders.OrderConfirmed"))
    assert (row.status, row.events, row.last_event_id) == (
        "accepted",
        "orders.OrderPlaced, orders.OrderConfirmed",
        "orders.events/0/1",
    )


@pytest.mark.parametrize(
    ("answer", "status"), [(Refused(code="no", reason="r"), "refused"), (Rejected(code="no", reason="r"), "rejected")]
)
def test_a_receipt_says_why_not(answer: Any, status: str) -> None:
    row = receipts.project(None, answer, meta())
    assert (row.status, row.code, row.reason) == (status, "no", "r")


def test_a_rejected_command_that_was_mended_is_accepted() -> None:
    row = receipts.project(None, Rejected(code="no", reason="r"), meta(0))
    assert receipts.project(row, placed, meta(1, command_offset=1)).status == "accepted"


def test_what_was_accepted_stays_accepted_when_rubbish_comes_under_its_id() -> None:
    row = receipts.project(None, placed, meta(0))
    assert receipts.project(row, Rejected(code="no", reason="r"), meta(1, command_offset=1)).status == "accepted"


@pytest.mark.parametrize("name", mesh.projections())
def test_the_tables_have_a_column_for_every_field(name: str) -> None:
    projection = mesh.projections()[name]
    table = projection.sql.split(");")[0]
    assert [line.split()[0] for line in table.splitlines()[1:] if line.startswith("    ")] == list(projection.columns)


@pytest.mark.parametrize("name", mesh.projections())
def test_analysts_never_see_an_address(name: str) -> None:
    view = mesh.projections()[name].sql.partition("CREATE VIEW")[2]
    columns = view.partition("FROM")[0].replace(",", " ").split()
    assert not {"email", "recipient", "card", "body"} & set(columns)
