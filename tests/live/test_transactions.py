"""Whoever writes into an events topic in a transaction, ended or left open, stops nobody who reads it, nor its writer."""

import json

import pytest
from confluent_kafka import Producer

from infra.edge.client import Wish
from infra.wire.record import partition_of
from tests.live.harness import LiveMesh
from tests.live.shop import TEA_FOR_ADA, paid_order, place, receipt, registered, saga, until_set_up
from tests.live.weft import weft

EVENTS = "orders.events"


def begun(live: LiveMesh, name: str, partition: int) -> Producer:
    """A transaction with a record in a partition of events."""
    producer = Producer(
        {"bootstrap.servers": live.settings.kafka, "transactional.id": name, "transaction.timeout.ms": 600_000}
    )
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(EVENTS, b"foreign", b"nobody", partition)
    assert producer.flush(20) == 0
    return producer


@pytest.mark.timeout(240)
def test_transactions_of_others_in_a_log_stop_nobody(own_mesh: LiveMesh) -> None:
    live = own_mesh
    worker = live.worker()
    live.ready(worker)
    until_set_up(live)
    registered(live, "ada")
    order = "tx-1"
    number = partition_of(order.encode(), live.settings.partitions)
    paid_order(live, order)
    # given a log at whose end stand marks of transactions, which are no records, and one that is left open
    begun(live, "committed", number).commit_transaction(20)
    begun(live, "aborted", number).abort_transaction(20)
    end = live.length_of(EVENTS, number)
    assert end >= 6
    # when its context goes on, and so does it when its worker starts again
    live.send(Wish("orders.ShipOrder", order, {}))
    saga(live, order, "to be delivered")
    open_ = begun(live, "open", number)
    begun(live, "committed", number).commit_transaction(20)
    worker.kill()
    worker.wait()
    live.ready(live.worker())
    live.send(Wish("orders.DeliverOrder", order, {}))
    # then its read models follow, can be made again, and agree with the log
    saga(live, order, "done")
    for arguments in (("rebuild", "orders", "--yes"), ("verify",), ("status",)):
        done = weft(live, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    open_.abort_transaction(20)


@pytest.mark.timeout(240)
def test_what_was_aborted_was_never_asked_and_what_is_open_waits(own_mesh: LiveMesh) -> None:
    live = own_mesh
    live.ready(live.worker())
    until_set_up(live)
    registered(live, "ada")
    partition = partition_of(b"tx-2", live.settings.partitions)
    body = json.dumps(TEA_FOR_ADA).encode()
    # given an order that its producer aborted, one behind it that is in no transaction, and one that is not ended yet
    asked(live, "aborted", "tx-2", partition, body).abort_transaction(20)
    other = next(name for name in (f"tx-{n}" for n in range(3, 99)) if on(live, name) == partition)
    place(live, other)
    saga(live, other, "to be shipped")
    open_ = asked(live, "open", "tx-2", partition, body)
    # then nobody has heard of either, and the one counts as soon as it is committed
    assert live.query("SELECT 1 FROM receipts WHERE command_id IN ('aborted', 'open')") == []
    open_.commit_transaction(20)
    assert receipt(live, "open")["status"] == "accepted"
    assert live.query("SELECT 1 FROM receipts WHERE command_id = 'aborted'") == []
    saga(live, "tx-2", "to be shipped")


def on(live: LiveMesh, key: str) -> int:
    return partition_of(key.encode(), live.settings.partitions)


def asked(live: LiveMesh, identity: str, key: str, partition: int, body: bytes) -> Producer:
    """An order that is placed in a transaction, which is open."""
    producer = Producer({"bootstrap.servers": live.settings.kafka, "transactional.id": f"t-{identity}"})
    producer.init_transactions(20)
    producer.begin_transaction()
    headers: list[tuple[str, str | bytes | None]] = [("ce_type", "orders.PlaceOrder"), ("ce_id", identity)]
    producer.produce("orders.commands", body, key, partition, headers=headers)
    assert producer.flush(20) == 0
    return producer
