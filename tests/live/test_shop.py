"""Orders on their way through the real mesh, and clients that are not ours."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
from confluent_kafka import Producer

from infra.wire.record import partition_of
from tests.live.harness import ROOT, LiveMesh
from tests.live.shop import TEA_FOR_ADA, audit, cancellation, order, payment, place, receipt, saga, until_at_rest
from tests.readme import block


def test_an_order_is_confirmed_paid_and_its_customer_told(shop: LiveMesh) -> None:
    place(shop, "shop-1")
    assert saga(shop, "shop-1")["outcome"] == "confirmed"
    assert payment(shop, "shop-1")["captured_minor"] == 1380


def test_a_declined_card_cancels_the_order(shop: LiveMesh) -> None:
    place(shop, "shop-2", card="card_declined")
    assert saga(shop, "shop-2")["outcome"] == "cancelled"
    assert payment(shop, "shop-2")["status"] == "declined"


def test_a_card_that_does_not_exist_cancels_the_order_and_says_which_do(shop: LiveMesh) -> None:
    place(shop, "shop-no-card", card="card_no")
    assert "card_ok" in saga(shop, "shop-no-card")["reason"]


def test_a_customer_who_cancels_while_the_card_is_asked_gets_the_money_back(shop: LiveMesh) -> None:
    shop.send(order("shop-3", card="card_slow"), cancellation("shop-3", "too slow"))
    assert saga(shop, "shop-3")["outcome"] == "cancelled"
    assert payment(shop, "shop-3")["status"] == "voided"


def test_a_reply_the_gateway_lost_is_asked_for_again_and_charged_once(shop: LiveMesh) -> None:
    place(shop, "shop-4", card="card_flaky")
    assert saga(shop, "shop-4")["outcome"] == "confirmed"
    assert payment(shop, "shop-4")["captured_minor"] == 1380


def test_sending_a_command_again_changes_nothing(shop: LiveMesh) -> None:
    shop.send(*[order("shop-5")] * 3)
    saga(shop, "shop-5")
    assert len(shop.query("SELECT 1 FROM receipts WHERE command_id = 'place-shop-5'")) == 1
    assert len(shop.query("SELECT 1 FROM notifications WHERE order_id = 'shop-5'")) == 1


def told(live: LiveMesh) -> dict[str, str]:
    """The environment of a program that is told where Kafka listens."""
    return {**os.environ, "WEFT_KAFKA": str(live.settings.kafka)}


def test_a_confluent_producer_with_the_plain_avro_of_the_schema_is_understood(shop: LiveMesh) -> None:
    subprocess.run([sys.executable, "-c", block("producer")], check=True, cwd=ROOT, timeout=60, env=told(shop))
    assert receipt(shop, "my-third")["status"] == "accepted"
    assert saga(shop, "order-3")["outcome"] == "confirmed"


def test_the_reader_of_the_readme_skips_what_is_void(shop: LiveMesh) -> None:
    place(shop, "shop-6")
    saga(shop, "shop-6")
    junk = Producer({"bootstrap.servers": shop.settings.kafka})
    junk.produce(
        "orders.events",
        b"junk",
        b"an-intruder",
        headers={"ce_type": b"orders.OrderPlaced", "weft-expected-offset": b"77777"},  # not where it will be
        partition=0,
    )
    junk.produce("orders.events", b"junk", b"an-intruder", partition=partition_of(b"shop-6", 4))
    for key in (None, b"\xff"):  # answered with an event that has no key, or one that is no text
        junk.produce("orders.commands", b"{}", key, headers={"ce_type": b"orders.PlaceOrder"})
    junk.flush()
    reader = block("reader").replace("consumer.poll(10)", "consumer.poll(8)")
    printed = subprocess.run(
        [sys.executable, "-c", reader], check=True, capture_output=True, text=True, timeout=60, env=told(shop)
    ).stdout
    assert "orders.OrderPlaced shop-6" in printed
    assert "an-intruder" not in printed


def test_the_mesh_goes_on_after_an_intruder_wrote_to_its_log(shop: LiveMesh) -> None:
    intruder = Producer({"bootstrap.servers": shop.settings.kafka})
    for partition in range(4):
        intruder.produce("orders.events", b"junk", b"an-intruder", partition=partition)
        intruder.produce("payments.events", b"junk", b"an-intruder", partition=partition)
    intruder.flush()
    place(shop, "shop-7")
    assert saga(shop, "shop-7")["outcome"] == "confirmed"


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed (Debian: apt-get install kcat)")
def test_kcat_posts_a_command_and_reads_the_events(shop: LiveMesh) -> None:
    lines = block("kcat").splitlines()
    post = "\n".join(lines[: next(i for i, line in enumerate(lines) if line.startswith("weft "))])
    subprocess.run(post, shell=True, check=True, timeout=30, env=told(shop))
    assert receipt(shop, "my-first")["status"] == "accepted"
    saga(shop, "order-1")
    read = [
        "kcat",
        "-C",
        "-b",
        str(shop.settings.kafka),
        "-t",
        "orders.events",
        "-o",
        "beginning",
        "-e",
        "-q",
        "-f",
        "%k %h\n",
    ]
    events = subprocess.run(read, check=True, capture_output=True, text=True, errors="replace", timeout=30).stdout
    assert any(line.startswith("order-1 ") and "ce_type=orders.OrderConfirmed" in line for line in events.splitlines())


def test_an_analyst_reads_views_and_nothing_else(shop: LiveMesh) -> None:
    import asyncpg

    for forbidden in (
        "SELECT * FROM orders.orders",
        "DELETE FROM receipts",
        "CREATE TABLE x (a int)",
        "SELECT * FROM pg_authid",
    ):
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)):
            shop.query(forbidden)


JSON = json.dumps(TEA_FOR_ADA).encode()
TYPE = b"orders.PlaceOrder"


@pytest.mark.parametrize(
    ("name", "value", "key", "headers", "status", "code"),
    [
        ("neither", b"\xfe\xedgarbage", b"bad-1", {"ce_type": TYPE}, "rejected", "not_avro"),
        ("no type", b"hello", b"bad-2", {}, "rejected", "no_type"),
        ("unknown schema", b"\x00\x00\x00\x99\x99abc", b"bad-3", {}, "rejected", "unknown_schema"),
        ("unknown command", JSON, b"bad-4", {"ce_type": b"orders.Explode"}, "rejected", "unknown_type"),
        ("wrong fields", b'{"reason": 5}', b"bad-5", {"ce_type": b"orders.CancelOrder"}, "rejected", "wrong_fields"),
        ("no key", JSON, None, {"ce_type": TYPE}, "rejected", "no_key"),
        (
            "oversized",
            b'{"reason": "' + b"x" * 300_000 + b'"}',
            b"bad-7",
            {"ce_type": b"orders.CancelOrder"},
            "rejected",
            "too_large",
        ),
        ("unknown order", b'{"reason": "x"}', b"bad-8", {"ce_type": b"orders.CancelOrder"}, "refused", "unknown_order"),
    ],
)
def test_bad_input_gets_a_clear_receipt_and_is_kept(
    shop: LiveMesh, name: str, value: bytes, key: bytes | None, headers: dict[str, bytes], status: str, code: str
) -> None:
    command_id = f"bad {name}"
    shop.produce("orders.commands", value, key, ce_id=command_id.encode(), **headers)
    answer = receipt(shop, command_id)
    assert (answer["status"], answer["code"]) == (status, code)
    assert answer["reason"]
    if status == "rejected":
        assert command_id in dead_letters(shop)


def dead_letters(live: LiveMesh) -> dict[str, bytes]:
    """Everything in orders.dead: command id → value."""
    from infra.kafka import reading

    with reading.opened(live.settings) as client:
        records = [record for batch in reading.read_whole(client, ["orders.dead"]) for record in batch]
    return {(dict(r.headers).get("ce_id") or b"").decode(): r.value or b"" for r in records}


def test_a_record_over_the_brokers_limit_is_refused_to_its_sender(shop: LiveMesh) -> None:
    errors: list[Any] = []
    producer = Producer({"bootstrap.servers": shop.settings.kafka, "message.max.bytes": 3_000_000})
    producer.produce("orders.commands", b"x" * 1_500_000, b"k", on_delivery=lambda error, message: errors.append(error))
    producer.flush(20)
    assert errors[0].name() == "MSG_SIZE_TOO_LARGE"


def test_a_command_on_the_wrong_partition_is_forwarded(shop: LiveMesh) -> None:
    producer = Producer({"bootstrap.servers": shop.settings.kafka})
    wrong = (partition_of(b"astray-1", 4) + 1) % 4
    producer.produce(
        "orders.commands", JSON, b"astray-1", partition=wrong, headers={"ce_type": TYPE, "ce_id": b"astray"}
    )
    producer.flush()
    assert receipt(shop, "astray")["command_partition"] == partition_of(b"astray-1", 4)


def test_a_nul_in_a_text_does_not_stop_the_projections(shop: LiveMesh) -> None:
    shop.send(order("shop-8"), cancellation("shop-8", "a\0b"))
    assert saga(shop, "shop-8")["reason"] == "a\N{REPLACEMENT CHARACTER}b"


def test_what_the_shop_did_adds_up(shop: LiveMesh) -> None:
    orders = len(shop.query("SELECT 1 FROM orders"))
    until_at_rest(shop, orders)
    evidence, wrong = audit(shop)
    assert wrong == []
    assert evidence.facts
