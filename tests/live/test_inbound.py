"""Command topics that lose something while a shop is at work, or between its runs: it is said, and nothing is passed over."""

import time
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from infra.errors import Unknown
from infra.kafka import reading, topics
from infra.kafka.inbound import Found, Loss, gauging
from infra.ops import inbound
from infra.settings import address
from infra.wire.envelope import Way
from infra.wire.inbound import deletable
from tests.live.harness import LiveMesh, until
from tests.live.inbound import (
    ORDERS,
    at_work,
    errors,
    make_anew,
    stopped,
    until_every_partition_stopped,
    until_nothing_stopped,
)
from tests.live.shop import answer, audit, order, paid_order, receipt, register, until_at_rest, until_set_up
from tests.live.weft import printed, weft


@pytest.fixture
def own_shop(own_mesh: LiveMesh) -> LiveMesh:
    register(own_mesh, "ada")
    return own_mesh


def is_empty(live: LiveMesh, topic: str) -> bool:
    with suppress(Unknown):
        return not any(live.length_of(topic, n) for n in range(live.settings.partitions))
    return False


@pytest.mark.timeout(240)
@pytest.mark.parametrize("when", ["at work", "between runs"])
def test_a_command_topic_that_was_made_anew_is_said_and_waits_for_a_word(own_shop: LiveMesh, when: str) -> None:
    live = own_shop
    # given a shop that has decided orders
    worker = at_work(live)
    until_set_up(live)
    for number in range(4):
        paid_order(live, f"old-{number}")
    if when == "between runs":
        live.stop_workers()
    # when their topic is made anew, and five more are asked for
    make_anew(live, ORDERS)
    live.send(*(order(f"new-{number}") for number in range(5)))
    if when == "between runs":
        worker = at_work(live)
    # then every partition says so, in its log, in the status and to who verifies
    until_every_partition_stopped(live, worker, ORDERS, Loss.ANEW)
    assert {s["context"] for s in stopped(live)} == {"orders"}
    assert "weft topics accept orders" in errors(live, worker)[-1]["next"]
    assert "was made anew" in weft(live, "status").stderr
    verified = weft(live, "verify", "orders")
    assert verified.returncode == 1 and "was made anew" in verified.stdout
    # and the other contexts go on, and what orders asks itself does
    assert answer(live, "products.AdjustStock", "tea", delta=1, reason="count")["status"] == "accepted"
    assert not live.query("SELECT 1 FROM receipts WHERE command_id LIKE 'place-new-%'")
    # and nothing is accepted unless somebody says so
    asked = weft(live, "topics", "accept", "orders")
    assert asked.returncode == 1 and "--yes" in asked.stderr and stopped(live)
    # when somebody does
    assert "goes on at offset 0" in printed(live, "topics", "accept", "orders", "--yes")
    # then what waits is decided, and that stays so
    for number in range(5):
        assert receipt(live, f"place-new-{number}")["status"] == "accepted"
    until_nothing_stopped(live)
    assert "nothing of orders has to be accepted" in printed(live, "topics", "accept", "orders", "--yes")
    live.stop_workers()
    worker = at_work(live)
    live.send(order("last"))
    assert receipt(live, "place-last")["status"] == "accepted"
    assert not errors(live, worker)
    until_at_rest(live, 10)
    assert audit(live)[1] == []
    assert "everything is what the log says" in printed(live, "verify")


@pytest.mark.timeout(240)
def test_a_command_topic_that_was_cut_and_written_over_is_said(own_shop: LiveMesh) -> None:
    live = own_shop
    # given orders that were decided
    worker = at_work(live)
    until_set_up(live)
    for number in range(8):
        paid_order(live, f"old-{number}")
    worker.terminate()
    assert worker.wait(30) == 0
    # when Kafka loses the end of their topic, and as many others are written in their place
    ends = {n: live.length_of(ORDERS, n) for n in range(live.settings.partitions)}
    live.kill("kafka")
    for log in Path(live.settings.home / "kafka" / "data").glob(f"{ORDERS}-*/*.log"):
        log.write_bytes(b"")
        for file in log.parent.glob("*.*index"):
            file.unlink()
    with live.supervised():
        until(lambda: is_empty(live, ORDERS), 60, "Kafka is back, and has nothing of it")
    live.send(*(order(f"new-{number}") for number in range(40)))
    assert all(live.length_of(ORDERS, n) >= end for n, end in ends.items())
    # then nobody passes them over
    worker = at_work(live)
    found = until(lambda: stopped(live), 30, "it is said")
    assert {(s["topic"], s["loss"]) for s in found} == {(ORDERS, "cut")}
    # and who stops the worker hears of it
    worker.terminate()
    assert worker.wait(30) == 1
    printed(live, "topics", "accept", "orders", "--yes")
    at_work(live)
    for number in range(40):
        assert receipt(live, f"place-new-{number}")["status"] == "accepted"
    until_nothing_stopped(live)


@pytest.mark.timeout(240)
def test_commands_that_were_deleted_before_anybody_decided_them_are_said(own_shop: LiveMesh) -> None:
    live = own_shop
    worker = at_work(live)
    until_set_up(live)
    paid_order(live, "old")
    live.stop_workers()
    # given commands that expire while nobody is at work
    live.send(*(order(f"lost-{number}") for number in range(20)))
    with topics.admin(live.settings) as admin:
        gone = admin.delete_records([TopicPartition(ORDERS, n, -1) for n in range(live.settings.partitions)])
        for future in gone.values():
            future.result(20)
    live.send(order("kept"))
    # then that is said, and how many
    worker = at_work(live)
    found = until(lambda: stopped(live), 30, "it is said")
    assert {(s["topic"], s["loss"]) for s in found} == {(ORDERS, "deleted")}
    assert "were deleted before they were decided" in errors(live, worker)[0]["reason"]
    # and one partition after the other goes on
    first = found[0]["partition"]
    printed(live, "topics", "accept", "orders", str(first), "--yes")
    until(lambda: first not in {s["partition"] for s in stopped(live)}, 30, "the first goes on")
    assert len(stopped(live)) == len(found) - 1
    printed(live, "topics", "accept", "orders", "--yes")
    assert receipt(live, "place-kept")["status"] == "accepted"


@pytest.mark.timeout(240)
def test_decided_commands_are_deleted_behind_the_cursor_and_nothing_else(own_shop: LiveMesh) -> None:
    live = own_shop
    # given topics of before, in which commands expire
    with topics.admin(live.settings) as admin:
        resource = ConfigResource(ResourceType.TOPIC, ORDERS)
        resource.add_incremental_config(
            ConfigEntry("retention.ms", "604800000", incremental_operation=AlterConfigOpType.SET)
        )
        admin.incremental_alter_configs([resource])[resource].result(20)
    refused = weft(live, "run", "orders")
    assert refused.returncode == 1 and "retention.ms" in refused.stderr and "weft setup" in refused.stderr
    printed(live, "setup")
    # and commands that are decided, and some that are not
    worker = at_work(live)
    until_set_up(live)
    for number in range(6):
        paid_order(live, f"old-{number}")
    live.stop_workers()
    live.send(*(order(f"new-{number}") for number in range(6)))
    # when what is decided is deleted
    orders = live.mesh.context("orders")
    with reading.opened(live.settings) as client, gauging(address(live.settings, "kafka")) as gauge:
        inlets = {
            (ORDERS, n): tail.inbound.inlet(Way.COMMANDS)
            for n, tail in inbound.tails(live.mesh.codec, client, orders).items()
        }
        since, then = (
            gauge.first_since(list(inlets), 0),
            gauge.first_since(list(inlets), int(time.time() * 1000) + 60_000),
        )
        ends = {place: live.length_of(*place) for place in inlets}
        assert since == dict.fromkeys(inlets, 0) and then == ends
        wanted = {place: deletable(inlet, 0, then[place]) for place, inlet in inlets.items()}
        deleted = {place: offset for place, offset in wanted.items() if offset}
        assert deleted
        gauge.delete_before(deleted, {ORDERS: next(iter(inlets.values())).topic_id})
        looked = gauge.look(
            list(inlets), {place: inlet.decided.offset for place, inlet in inlets.items() if inlet.decided}
        )
    found = {place: there for place, there in looked.items() if isinstance(there, Found)}
    # then what was decided last is there, and all that was not
    assert {place: there.low for place, there in found.items() if there.low} == deleted
    assert {place: there.last.offset for place, there in found.items() if there.last} == {
        place: inlet.decided.offset for place, inlet in inlets.items() if inlet.decided
    }
    worker = at_work(live)
    for number in range(6):
        assert receipt(live, f"place-new-{number}")["status"] == "accepted"
    assert not errors(live, worker) and stopped(live) == []
    assert "everything is what the log says" in printed(live, "verify", "orders")
