"""One partition: what it appends, remembers and refuses."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from commands.orders import CancelOrder, RecordPayment, RecordStock
from commands.products import AdjustStock, ListProduct
from infra.errors import LogDamaged
from infra.messages import Refused, Rejected
from infra.shop.mesh import mesh
from infra.wire.record import MAX_BATCH_BYTES, Outgoing, Read, partition_of
from infra.write.partition import Decision, Partition
from infra.write.reactions import outgoing_command
from schemas.orders import OrderPlaced
from tests.orders.examples import place

NOW = 1_700_000_000_000
DAY = 86_400_000
CODEC = mesh.codec


def orders(partitions: int = 1, number: int = 0) -> Partition:
    return Partition(mesh.context("orders"), CODEC, number, partitions, 30 * DAY)


def commands(*asked: tuple[Any, str], start: int = 0, at: int = NOW) -> list[Read]:
    records = [outgoing_command(CODEC, command, identity) for command, identity in asked]
    return [Read("orders.commands", 0, start + i, at, r.key, r.value, r.headers) for i, r in enumerate(records)]


def landed(records: Iterable[Outgoing], base: int) -> list[Read]:
    return [
        Read("orders.events", 0, base + i, r.timestamp or 0, r.key, r.value, r.headers) for i, r in enumerate(records)
    ]


def events(decision: Decision) -> list[Any]:
    return [CODEC.decode(r.value or b"") for r in decision.records]


def headers(decision: Decision, index: int = 0) -> dict[str, bytes | None]:
    return dict(decision.records[index].headers)


def order(number: int) -> Any:
    return replace(place, order_id=f"order-{number}")


def test_every_record_says_where_it_expects_to_land() -> None:
    decision = orders().decide(commands((order(1), "a"), (order(2), "b")))
    assert [dict(r.headers)["weft-expected-offset"] for r in decision.records] == [b"0", b"1"]


def test_an_event_carries_its_command_and_a_unique_id() -> None:
    found = headers(orders().decide(commands((order(1), "a"), start=7)))
    assert (found["ce_causationid"], found["weft-command-offset"], found["ce_id"]) == (b"a", b"7", b"orders.events/0/0")


def test_folding_what_was_appended_gives_the_state_that_was_merged() -> None:
    writer, reader = orders(), orders()
    decision = writer.decide(
        commands((order(1), "a"), (CancelOrder(order_id="order-1", reason=""), "b"), (order(2), "c"))
    )
    writer.merge(decision)
    reader.fold(landed(decision.records, 0))
    for part in ("states", "decided", "cursor", "next_offset", "timestamp"):
        assert getattr(reader, part) == getattr(writer, part)


def test_a_record_that_landed_elsewhere_changes_nothing() -> None:
    reader = orders()
    reader.fold(landed(orders().decide(commands((order(1), "a"))).records, base=5))
    assert (reader.states, reader.voids, reader.next_offset) == ({}, 1, 6)


def test_deciding_changes_nothing_before_it_is_merged() -> None:
    partition = orders()
    partition.decide(commands((order(1), "a")))
    assert (partition.states, partition.decided, partition.next_offset) == ({}, {}, 0)


def test_commands_of_one_batch_see_each_others_events() -> None:
    decision = orders().decide(
        commands((order(1), "a"), (RecordPayment(order_id="order-1", outcome="authorised", reason=""), "b"))
    )
    assert [type(e).__name__ for e in events(decision)] == ["OrderPlaced", "OrderAuthorised"]


def test_a_command_id_that_was_decided_appends_nothing() -> None:
    partition = orders()
    partition.merge(partition.decide(commands((order(1), "a"))))
    again = partition.decide(commands((order(1), "a"), start=1))
    assert (again.records, again.next) == ([], 1)


def test_the_same_id_twice_in_one_batch_is_decided_once() -> None:
    assert len(orders().decide(commands((order(1), "a"), (order(1), "a"))).records) == 1


def test_the_same_id_for_another_aggregate_is_another_command() -> None:
    assert [type(e) for e in events(orders().decide(commands((order(1), "a"), (order(2), "a"))))] == [
        OrderPlaced,
        OrderPlaced,
    ]


def test_command_ids_are_forgotten_after_the_window_and_not_before() -> None:
    partition = orders()
    partition.merge(partition.decide(commands((order(1), "old"))))
    partition.merge(partition.decide(commands((order(2), "new"), start=1, at=NOW + 30 * DAY)))
    assert partition.decide(commands((order(1), "old"), start=2)).records == []
    partition.merge(partition.decide(commands((order(3), "newer"), start=2, at=NOW + 30 * DAY + 1)))
    assert partition.decide(commands((order(1), "old"), start=3)).records != []


def test_a_command_before_the_cursor_is_not_decided_again() -> None:
    partition = orders()
    partition.merge(partition.decide(commands((order(1), "a"), (order(2), "b"))))
    assert partition.decide(commands((order(3), "c"))).records == []


def test_the_cursor_comes_from_the_log() -> None:
    reader = orders()
    reader.fold(landed(orders().decide(commands((order(1), "a"), start=41)).records, 0))
    assert reader.cursor == 42


def test_a_command_with_nothing_to_do_leaves_an_answer() -> None:
    partition = orders()
    cancel = CancelOrder(order_id="order-1", reason="")
    decision = partition.decide(commands((order(1), "a"), (cancel, "b"), (cancel, "c")))
    assert events(decision)[-1].code == "nothing_to_do"


def test_a_refusal_is_an_event_and_leaves_the_state() -> None:
    partition = orders()
    decision = partition.decide(commands((CancelOrder(order_id="order-1", reason=""), "a")))
    partition.merge(decision)
    assert isinstance(events(decision)[0], Refused)
    assert partition.states == {}


def test_what_cannot_be_read_is_answered_and_kept() -> None:
    record = Read("orders.commands", 0, 3, NOW, b"k", b"garbage", [("ce_id", b"mine")])
    decision = orders().decide([record])
    (answer,) = events(decision)
    (letter,) = decision.dead
    assert isinstance(answer, Rejected)
    assert headers(decision)["ce_causationid"] == b"mine"
    assert (letter.key, letter.value) == (b"k", b"garbage")
    assert dict(letter.headers)["dlq-original-offset"] == b"3"


def test_a_rejected_command_may_be_mended_under_its_id() -> None:
    partition = orders()
    bad = Read("orders.commands", 0, 0, NOW, b"order-1", b"garbage", [("ce_id", b"mine")])
    partition.merge(partition.decide([bad]))
    assert [type(e) for e in events(partition.decide(commands((order(1), "mine"), start=1)))] == [OrderPlaced]


def test_a_key_of_any_size_is_answered() -> None:
    record = Read("orders.commands", 0, 0, NOW, b"k" * 2_000_000, b"{}", [("x" * 1000, b"v" * 10_000)] * 300)
    decision = orders().decide([record])
    assert decision.next == 1
    assert sum(r.size() for r in decision.records) < 10_000
    assert decision.dead[0].size() <= 2_000_000


def test_a_misrouted_command_is_forwarded_with_its_id() -> None:
    partition = orders(partitions=4, number=(partition_of(b"order-1", 4) + 1) % 4)
    record = commands((order(1), "a"))[0]._replace(headers=(("ce_type", b"orders.PlaceOrder"),))
    ((target, forwarded),) = partition.decide([record]).forwards
    assert target == partition_of(b"order-1", 4)
    assert ("ce_id", b"orders.commands/0/0") in forwarded.headers


def test_time_never_goes_back_in_a_partition() -> None:
    partition = orders()
    partition.merge(partition.decide(commands((order(1), "a"), at=NOW)))
    decision = partition.decide(commands((order(2), "b"), start=1, at=NOW - 5000))
    assert decision.records[0].timestamp == NOW


def test_a_decision_stops_before_its_batch_is_too_big() -> None:
    big = replace(place, card="c" * 200_000)
    asked = commands(*((replace(big, order_id=f"order-{i}"), str(i)) for i in range(8)))
    partition, start, batches = orders(), 0, 0
    while start < len(asked):
        decision = partition.decide(asked, start)
        assert sum(r.size() for r in decision.records) <= decision.size <= MAX_BATCH_BYTES
        assert decision.next > start
        partition.merge(decision)
        start, batches = decision.next, batches + 1
    assert batches > 1
    assert len(partition.states) == 8


def test_an_accepted_record_nobody_can_read_stops_the_fold() -> None:
    record = Read("orders.events", 0, 0, NOW, b"k", b"garbage", [("weft-expected-offset", b"0")])
    with pytest.raises(LogDamaged, match=r"orders\.events/0/0"):
        orders().fold([record])


def test_an_intent_keeps_the_id_of_the_event_that_opened_it() -> None:
    from tests.payments.examples import authorise, outcome

    partition = Partition(mesh.context("payments"), CODEC, 0, 1, 30 * DAY)
    partition.merge(partition.decide(commands((authorise, "a"))))
    (opened,) = partition.opened()
    assert opened.key == "payments.events/0/0"
    partition.merge(partition.decide(commands((outcome("authorise"), "b"), start=1)))
    assert (partition.opened(), partition.intents) == ([], {})


def test_a_deadline_counts_from_the_event_that_opened_it() -> None:
    partition = orders()
    partition.merge(partition.decide(commands((order(1), "a"))))
    partition.opened()
    stock = RecordStock(order_id="order-1", sku="tea", reserved=True, reason="")
    partition.merge(partition.decide(commands((stock, "b"), start=1, at=NOW + 5000)))
    (timer,) = partition.intents.values()
    assert (timer.key, timer.at, timer.wanted.after_s) == ("orders.events/0/0", NOW, 900)
    assert partition.opened() == []


def test_a_fold_opens_what_the_decision_opened() -> None:
    decided, folded = orders(), orders()
    decision = decided.decide(
        commands((order(1), "a"), (order(2), "b"), (CancelOrder(order_id="order-1", reason=""), "c"))
    )
    decided.merge(decision)
    folded.fold(landed(decision.records, 0))
    assert decided.opened() == folded.opened() == list(decided.intents.values())
    assert [timer.wanted.command.order_id for timer in folded.intents.values()] == ["order-2"]


def test_aggregates_of_two_kinds_may_have_the_same_id() -> None:
    partition = Partition(mesh.context("products"), CODEC, 0, 1, 30 * DAY)
    listing = ListProduct(sku="tea", name="Tea", unit_price_minor=690, currency="EUR")
    delivery = AdjustStock(sku="tea", delta=5, reason="")
    partition.merge(partition.decide(commands((listing, "a"), (delivery, "b"))))
    assert len(partition.states) == 2


# -- what cannot be processed, and what comes after it


def junk(key: bytes, identity: bytes, offset: int) -> Read:
    return Read("orders.commands", 0, offset, NOW, key, b"junk", [("ce_id", identity)])


def cancel(number: int, identity: str, offset: int) -> Read:
    return commands((CancelOrder(order_id=f"order-{number}", reason="x"), identity), start=offset)[0]


def said(decision: Decision) -> list[tuple[str, str]]:
    """(event, command id) of each."""
    return [
        (type(CODEC.decode(r.value or b"")).__name__, (dict(r.headers)["ce_causationid"] or b"").decode())
        for r in decision.records
    ]


def blocked() -> Partition:
    """Order 1 is placed; then junk of the same key, and a cancellation behind it."""
    partition = orders()
    asked = [*commands((order(1), "a")), junk(b"order-1", b"bad", 1), cancel(1, "c", 2)]
    decision = partition.decide(asked)
    assert said(decision) == [("OrderPlaced", "a"), ("Rejected", "bad"), ("Parked", "c")]
    assert [dict(letter.headers)["ce_id"] for letter in decision.dead] == [b"bad", b"c"]
    partition.merge(decision)
    return partition


def test_later_commands_of_a_key_wait_behind_one_that_cannot_be_processed() -> None:
    assert blocked().queues == {b"order-1": (b"bad", b"c")}


def test_commands_of_other_keys_do_not_wait() -> None:
    decision = blocked().decide([*commands((order(2), "d"), start=3), cancel(1, "e", 4)])
    assert said(decision) == [("OrderPlaced", "d"), ("Parked", "e")]


def test_a_fold_finds_the_same_queue_as_the_decisions() -> None:
    decided, folded = orders(), orders()
    for start, asked in enumerate([*commands((order(1), "a")), junk(b"order-1", b"bad", 1), cancel(1, "c", 2)]):
        decision = decided.decide([asked])
        folded.fold(landed(decision.records, start))
        decided.merge(decision)
    assert folded.queues == decided.queues == blocked().queues


def test_a_mended_command_under_its_id_lets_the_next_one_pass() -> None:
    partition = blocked()
    decision = partition.decide([cancel(1, "bad", 3), cancel(1, "c", 4)])
    assert said(decision) == [("OrderCancelled", "bad"), ("Refused", "c")]
    partition.merge(decision)
    assert partition.queues == {}


def test_the_second_in_line_does_not_pass_the_first() -> None:
    partition = blocked()
    decision = partition.decide([cancel(1, "c", 3)])
    assert (decision.records, decision.dead) == ([], [])


def test_what_is_rejected_again_stays_the_head_and_is_kept_once() -> None:
    partition = blocked()
    decision = partition.decide([junk(b"order-1", b"bad", 3), cancel(1, "c", 4)])
    assert (said(decision), decision.dead) == ([("Rejected", "bad")], [])
    partition.merge(decision)
    assert partition.queues == {b"order-1": (b"bad", b"c")}


def discard(identity: bytes, offset: int) -> Read:
    headers = [("ce_type", b"weft.Discard"), ("ce_id", identity)]
    return Read("orders.commands", 0, offset, NOW, b"order-1", b'{"reason": "never"}', headers)


def test_a_discarded_command_lets_the_next_one_pass_and_is_never_processed() -> None:
    partition = blocked()
    decision = partition.decide([discard(b"bad", 3), cancel(1, "bad", 4), cancel(1, "c", 5)])
    assert said(decision) == [("Discarded", "bad"), ("OrderCancelled", "c")]


def test_one_that_waits_behind_may_be_discarded_too() -> None:
    partition = blocked()
    partition.merge(partition.decide([discard(b"c", 3)]))
    assert partition.queues == {b"order-1": (b"bad",)}


def test_only_what_waits_is_discarded() -> None:
    assert blocked().decide([discard(b"a", 3), discard(b"nothing", 4)]).records == []


def test_a_decider_that_fails_keeps_its_command_and_stops_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    partition = orders()
    (aggregate,) = partition.context.aggregates

    def failing(command: Any, state: Any) -> Any:
        yield from aggregate.decide(command, state)
        if command.order_id == "order-1":
            raise ZeroDivisionError("a bug")

    context = replace(partition.context, aggregates=(replace(aggregate, decide=failing),))
    partition = Partition(context, CODEC, 0, 1, 30 * DAY)
    decision = partition.decide(commands((order(1), "a"), (order(2), "b")))
    assert said(decision) == [("Rejected", "a"), ("OrderPlaced", "b")]
    letter = dict(decision.dead[0].headers)
    assert letter["dlq-exception-class"] == b"failed"
    assert b"ZeroDivisionError" in (letter["dlq-exception-stacktrace"] or b"")
    partition.merge(decision)
    assert list(partition.states) == [b"order-2"]


def test_what_names_a_person_in_plain_is_kept_by_nobody() -> None:
    partition = Partition(mesh.context("users"), CODEC, 0, 1, 30 * DAY)
    plain = b'{"email": "ada@example.org", "email_key": "k", "name": "Ada"}'
    headers = [("ce_type", b"users.RegisterUser")]
    decision = partition.decide([Read("users.commands", 0, 0, NOW, b"ada", plain, headers)])
    assert b"ada@example.org" not in b"".join(r.value or b"" for r in (*decision.dead, *decision.records))
    assert events(decision)[0].code == "not_sealed"


# -- taking a long log in


def long_log() -> list[Read]:
    """Orders placed, one cancelled, and one blocked with a command behind."""
    asked = [*commands(*((order(i), f"p-{i}") for i in range(20))), junk(b"order-3", b"bad", 20), cancel(3, "c-3", 21)]
    return landed(orders().decide([*asked, cancel(5, "c-5", 22)]).records, 0)


def test_a_log_that_is_taken_in_is_settled_to_what_folding_makes_of_it() -> None:
    taken, folded = orders(), orders()
    taken.take(long_log())
    folded.fold(long_log())
    assert (taken.next_offset, taken.cursor, taken.timestamp) == (folded.next_offset, folded.cursor, folded.timestamp)
    assert len(taken.unread) == 19
    while taken.settle(4):
        pass
    for part in ("states", "decided", "queues", "intents"):
        assert getattr(taken, part) == getattr(folded, part)
    assert {intent.key for intent in taken.opened()} == {intent.key for intent in folded.opened()}


def test_an_aggregate_that_was_only_taken_in_is_folded_before_its_next_command() -> None:
    partition = orders()
    partition.take(long_log())
    again = [*commands((order(1), "p-1"), start=30), cancel(2, "c-2", 31), cancel(3, "d-3", 32)]
    assert said(partition.decide(again)) == [("OrderCancelled", "c-2"), ("Parked", "d-3")]


def test_void_records_are_not_taken_in() -> None:
    partition, records = orders(), long_log()
    partition.take([*records[:3], records[0]._replace(offset=3)])
    assert (partition.voids, partition.next_offset, len(partition.unread)) == (1, 4, 3)


def test_what_is_folded_after_the_taking_comes_after_it() -> None:
    partition, records = orders(), long_log()
    partition.take(records[:-1])
    partition.fold(records[-1:])
    assert type(partition.states[b"order-5"]).__name__ == "Cancelled"
