"""One partition folded: from its log as it is, from a log that was only taken in, and from what was merged."""

import pytest

from commands.orders import CancelOrder, RecordStock
from commands.products import AdjustStock, ListProduct
from infra.errors import LogDamaged
from infra.wire.record import Read
from tests.infra.orders_log import (
    NOW,
    blocked,
    cancel,
    commands,
    decide,
    decide_all,
    empty,
    junk,
    landed,
    order,
    said,
)
from tests.payments.examples import authorise, outcome


def test_a_record_that_landed_elsewhere_changes_nothing() -> None:
    reader = empty()
    reader.fold(landed(decide(empty(), commands((order(1), "a"))).records, base=5))
    assert (reader.states, reader.voids, reader.next_offset) == ({}, 1, 6)


def test_the_cursor_comes_from_the_log() -> None:
    reader = empty()
    reader.fold(landed(decide(empty(), commands((order(1), "a"), start=41)).records, 0))
    assert reader.cursor == 42


def test_an_accepted_record_nobody_can_read_stops_the_fold() -> None:
    record = Read("orders.events", 0, 0, NOW, b"k", b"garbage", [("weft-expected-offset", b"0")])
    with pytest.raises(LogDamaged, match=r"orders\.events/0/0"):
        empty().fold([record])


def test_an_accepted_record_that_is_no_event_stops_the_fold() -> None:
    (command,), (placed,) = commands((order(1), "a")), decide(empty(), commands((order(1), "a"))).records
    with pytest.raises(LogDamaged, match=r"PlaceOrder is no event of orders"):
        empty().fold(landed([placed._replace(value=command.value)], 0))


def test_folding_what_was_appended_gives_the_state_that_was_merged() -> None:
    writer, reader = empty(), empty()
    decision = decide(
        writer, commands((order(1), "a"), (CancelOrder(order_id="order-1", reason=""), "b"), (order(2), "c"))
    )
    writer.merge(decision)
    reader.fold(landed(decision.records, 0))
    for part in ("states", "decided", "cursor", "next_offset", "timestamp"):
        assert getattr(reader, part) == getattr(writer, part)


def test_a_fold_opens_what_the_decision_opened() -> None:
    decided, folded = empty(), empty()
    decision = decide(
        decided, commands((order(1), "a"), (order(2), "b"), (CancelOrder(order_id="order-1", reason=""), "c"))
    )
    decided.merge(decision)
    folded.fold(landed(decision.records, 0))
    assert decided.new_intents() == folded.new_intents() == list(decided.intents.values())
    assert [timer.wanted.command.order_id for timer in folded.intents.values()] == ["order-2"]


def test_a_fold_finds_the_same_queue_as_the_decisions() -> None:
    decided, folded = empty(), empty()
    for start, record in enumerate([*commands((order(1), "a")), junk(b"order-1", b"bad", 1), cancel(1, "c", 2)]):
        decision = decide(decided, [record])
        folded.fold(landed(decision.records, start))
        decided.merge(decision)
    assert folded.queues == decided.queues == blocked().queues


def test_an_intent_keeps_the_id_of_the_event_that_opened_it() -> None:
    aggregates = empty("payments")
    decide_all(aggregates, commands((authorise, "a")))
    (intent,) = aggregates.new_intents()
    assert intent.key == "payments.events/0/0"
    decide_all(aggregates, commands((outcome("authorise"), "b"), start=1))
    assert (aggregates.new_intents(), aggregates.intents) == ([], {})


def test_a_deadline_counts_from_the_event_that_opened_it() -> None:
    aggregates = empty()
    decide_all(aggregates, commands((order(1), "a")))
    aggregates.new_intents()
    stock = RecordStock(order_id="order-1", sku="tea", reserved=True, reason="")
    decide_all(aggregates, commands((stock, "b"), start=1, at=NOW + 5000))
    (timer,) = aggregates.intents.values()
    assert (timer.key, timer.at, timer.wanted.after_s) == ("orders.events/0/0", NOW, 900)
    assert aggregates.new_intents() == []


def test_aggregates_of_two_kinds_may_have_the_same_id() -> None:
    aggregates = empty("products")
    listing = ListProduct(sku="tea", name="Tea", unit_price_minor=690, currency="EUR")
    delivery = AdjustStock(sku="tea", delta=5, reason="")
    decide_all(aggregates, commands((listing, "a"), (delivery, "b")))
    assert len(aggregates.states) == 2


def long_log() -> list[Read]:
    """Orders placed, one cancelled, and one blocked with a command behind."""
    records = [
        *commands(*((order(i), f"p-{i}") for i in range(20))),
        junk(b"order-3", b"bad", 20),
        cancel(3, "c-3", 21),
    ]
    return landed(decide(empty(), [*records, cancel(5, "c-5", 22)]).records, 0)


def test_a_log_that_is_taken_in_is_settled_to_what_folding_makes_of_it() -> None:
    settled, folded = empty(), empty()
    settled.take(long_log())
    folded.fold(long_log())
    assert (settled.next_offset, settled.cursor, settled.timestamp) == (
        folded.next_offset,
        folded.cursor,
        folded.timestamp,
    )
    assert len(settled.unread) == 19
    while settled.settle(4):
        pass
    for part in ("states", "decided", "queues", "intents"):
        assert getattr(settled, part) == getattr(folded, part)
    assert {intent.key for intent in settled.new_intents()} == {intent.key for intent in folded.new_intents()}


def test_an_aggregate_that_was_only_taken_in_is_folded_before_its_next_command() -> None:
    aggregates = empty()
    aggregates.take(long_log())
    again = [*commands((order(1), "p-1"), start=30), cancel(2, "c-2", 31), cancel(3, "d-3", 32)]
    assert said(decide(aggregates, again)) == [("OrderCancelled", "c-2"), ("Parked", "d-3")]


def test_void_records_are_not_taken_in() -> None:
    aggregates, records = empty(), long_log()
    aggregates.take([*records[:3], records[0]._replace(offset=3)])
    assert (aggregates.voids, aggregates.next_offset, len(aggregates.unread)) == (1, 4, 3)


def test_what_is_folded_after_the_taking_comes_after_it() -> None:
    aggregates, records = empty(), long_log()
    aggregates.take(records[:-1])
    aggregates.fold(records[-1:])
    assert type(aggregates.states[b"order-5"]).__name__ == "Cancelled"
