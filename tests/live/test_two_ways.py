"""What strangers ask and what a context asks itself, on real brokers: who may ask what, and what positions may be lost."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.kafka import reading, topics
from infra.kafka.reading import Place
from infra.kafka.topics import HEARD_TOPIC
from infra.messages import Discarded, Rejected
from infra.model.context import Context
from infra.ops import positions, status
from infra.ops.keeping import last
from infra.ops.setup import deployed
from infra.wire.envelope import EventEnvelope, Way
from infra.wire.record import partition_of
from tests.live.harness import LiveMesh, until
from tests.live.shop import audit, order, receipt, register, registered, saga, until_at_rest, until_set_up
from tests.live.weft import printed, weft


@pytest.fixture
def own_shop(own_mesh: LiveMesh) -> LiveMesh:
    register(own_mesh, "ada")
    own_mesh.ready(own_mesh.worker())
    until_set_up(own_mesh)
    return own_mesh


def post(live: LiveMesh, topic: str, key: str, kind: str, identity: str, body: dict[str, object]) -> None:
    """As any program may."""
    producer = Producer({"bootstrap.servers": live.settings.kafka})
    headers: list[tuple[str, str | bytes | None]] = [("ce_type", kind), ("ce_id", identity)]
    producer.produce(topic, json.dumps(body), key, partition_of(key.encode(), 4), headers=headers)
    assert producer.flush(20) == 0


def test_an_order_cannot_be_paid_by_who_only_says_so(shop: LiveMesh) -> None:
    # given an order that nobody pays
    shop.send(order("unpaid", card="card_declined"))
    assert saga(shop, "unpaid")["outcome"] == "cancelled"
    # when a stranger posts what only the policy asks
    body = {"order_id": "unpaid", "outcome": "captured", "reason": ""}
    post(shop, "orders.commands", "unpaid", "orders.RecordPayment", "forged", body)
    # then that is answered, and nothing comes of it
    answer = receipt(shop, "forged")
    assert (answer["status"], answer["code"]) == ("rejected", "not_yours")
    refused = weft(shop, "send", "orders.RecordPayment", "unpaid", json.dumps(body))
    assert "is what orders asks itself" in refused.stderr and refused.returncode == 2
    # and it waits for nobody
    kept = weft(shop, "dead", "discard", "orders", "forged", "--reason", "forged")
    assert "in nobody's way" in kept.stderr and kept.returncode == 1


def test_the_same_id_with_another_content_is_refused(shop: LiveMesh) -> None:
    body = {"delta": 5, "reason": "delivery"}
    printed(shop, "send", "products.AdjustStock", "tea", json.dumps(body), "--id", "adj", "--wait")
    again = weft(shop, "send", "products.AdjustStock", "tea", json.dumps(body), "--id", "adj", "--wait")
    assert again.returncode == 0 and "duplicate" in again.stdout
    other = weft(
        shop, "send", "products.AdjustStock", "tea", json.dumps(body | {"delta": 500}), "--id", "adj", "--wait"
    )
    assert other.returncode == 1 and "id_reused" in other.stdout + other.stderr


def test_the_same_by_another_client_is_the_same_command(shop: LiveMesh) -> None:
    post(shop, "products.commands", "mug", "products.AdjustStock", "by-hand", {"reason": "delivery", "delta": 5})
    assert receipt(shop, "by-hand")["status"] == "accepted"
    body = json.dumps({"delta": 5, "reason": "delivery"})
    again = weft(shop, "send", "products.AdjustStock", "mug", body, "--id", "by-hand", "--wait")
    assert again.returncode == 0 and "duplicate" in again.stdout


def test_who_is_sealed_again_is_the_same_and_another_name_is_not(shop: LiveMesh) -> None:
    said = [
        weft(
            shop, "send", "users.ChangeProfile", "nobody", json.dumps({"name": name}), "--id", "rename", "--wait"
        ).stdout
        for name in ("Ada", "Ada", "Eve")
    ]
    assert ["duplicate" in one for one in said] == [False, True, False]
    assert "id_reused" in said[2]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("lost", ["everything", "back", "everything of a log that was grown"])
def test_positions_that_are_lost_or_moved_back_and_groups_that_are_moved_change_nothing(
    own_shop: LiveMesh, lost: str
) -> None:
    live = own_shop
    live.send(*(order(f"old-{i}") for i in range(5)))
    until_at_rest(live, 5)
    before = told_of(live, "old-%")
    live.stop_workers()
    # given positions that are gone, or older, and groups that were deleted
    if lost.endswith("grown"):
        for name in ("orders", "products"):
            printed(live, "topics", "grow", name, "--partitions", "5")
        live.mesh = deployed(live.settings, live.mesh)
    if lost == "back":
        move_back(live)
    else:
        lose_positions(live)
    with topics.admin(live.settings) as admin:
        for context in live.mesh.contexts.values():
            admin.delete_consumer_groups([context.group])[context.group].result(20)
    printed(live, "setup")
    # when the workers are back
    live.ready(live.worker())
    live.send(order("new"))
    assert saga(live, "new")["outcome"] == "confirmed"
    until_at_rest(live, 6)
    # then everything was heard again, nothing was done twice, and nothing is missing
    until(lambda: unheard(live) == 0, 30, "all is heard")
    _, wrong = audit(live)
    assert wrong == []
    assert told_of(live, "old-%") == before
    assert "everything is what the log says" in printed(live, "verify")


def told_of(live: LiveMesh, orders: str) -> int:
    """How many events there are of orders like these, in all contexts."""
    return int(live.query("SELECT count(*) FROM events WHERE subject LIKE $1", orders)[0][0])


def unheard(live: LiveMesh) -> int:
    return sum(c["unheard_events"] for c in status.contexts(live.settings, live.mesh).values())


def lose_positions(live: LiveMesh) -> None:
    with topics.admin(live.settings) as admin:
        admin.delete_topics([HEARD_TOPIC])[HEARD_TOPIC].result(20)
        until(lambda: HEARD_TOPIC not in admin.list_topics(timeout=10).topics, 20, "the topic is gone")


def move_back(live: LiveMesh) -> None:
    """Every policy is said to have heard nothing."""
    with reading.opened(live.settings) as client:
        for context in live.mesh.contexts.values():
            who = positions.listener(live.settings, live.mesh, context)
            places = reading.partitions_of(client, live.mesh.heard_topics(context)) if context.hears else []
            positions.write(live.settings, [who.record(place, 0) for place in places])


@pytest.mark.timeout(240)
def test_a_context_that_has_never_run_may_begin_now_and_its_log_says_so(own_mesh: LiveMesh) -> None:
    live = own_mesh
    # given a mesh with a past, in which nobody was told of anything
    live.ready(live.worker("users", "products", "orders", "payments"))
    registered(live, "ada")
    until_set_up(live)
    live.stop_workers()
    assert "notifications has not begun, and will hear" in printed(live, "setup")
    # when the past is left out, and later all positions are lost
    assert "notifications begins now" in printed(live, "setup", "--from-now", "notifications")
    lose_positions(live)
    # then that is not forgotten, by who would leave out more, nor by who hears it all again
    assert "has not begun" not in printed(live, "setup")
    again = weft(live, "setup", "--from-now", "notifications")
    assert "has begun to hear" in again.stderr and again.returncode == 1
    live.ready(live.worker())
    until(lambda: unheard(live) == 0, 60, "all is heard")
    register(live, "bob")
    until(lambda: live.query("SELECT 1 FROM notifications_events WHERE subject = 'bob'"), 60, "bob is known")
    known = live.query("SELECT DISTINCT subject FROM notifications_events WHERE type NOT LIKE 'weft.%'")
    assert [row[0] for row in known] == ["bob"]


@pytest.mark.timeout(240)
def test_a_mesh_of_one_way_is_brought_over_only_at_rest(own_mesh: LiveMesh) -> None:
    live = own_mesh
    # given a mesh as it was before there were two ways, with what its policy asked and could not be processed
    live.ready(live.worker("orders"))
    body: dict[str, object] = {"order_id": "stuck", "outcome": "captured", "reason": ""}
    stuck = ("orders.events", partition_of(b"stuck", 4))
    with reading.opened(live.settings) as client:
        before = reading.ends(client, [stuck])[stuck]
        post(live, "orders.commands", "stuck", "orders.RecordPayment", "stuck", body)
        until(lambda: reading.ends(client, [stuck])[stuck] > before, 30, "it is kept")
    live.stop_workers()
    said_of_stuck(live, stuck, Rejected(code="failed", reason="a bug of before"))
    # and with events that its groups have heard, and a command that waits
    with topics.admin(live.settings) as admin:
        own = [c.own_topic for c in live.mesh.contexts.values()]
        for future in admin.delete_topics([HEARD_TOPIC, *own]).values():
            future.result(20)
        until(lambda: not {HEARD_TOPIC, *own} & admin.list_topics(timeout=10).topics.keys(), 20, "the topics are gone")
        for _ in range(3):
            post(live, "payments.events", "o", "payments.PaymentCaptured", "e", {})
        place = ("payments.events", partition_of(b"o", 4))
        for listener in live.mesh.listeners(live.mesh.context("payments")):
            commit(admin, listener.group, {place: 3})
        live.send(order("waits"))
        # then it is left as it is while somebody is at work
        with at_work(live, live.mesh.context("orders")):
            refused = weft(live, "setup")
            assert "orders is at work in the version of before" in refused.stderr and refused.returncode == 1
        # and while a letter waits that nobody could send again
        refused = weft(live, "setup")
        assert "orders.RecordPayment stuck of stuck" in refused.stderr and refused.returncode == 1
        said_of_stuck(live, stuck, Discarded(reason="it never will"))
        # and while a command waits
        refused = weft(live, "setup")
        assert "run the version of before" in refused.stderr and refused.returncode == 1
        # when that is decided, and what was said of the letter is heard
        with reading.opened(live.settings) as client:
            for c in live.mesh.contexts.values():
                places = reading.partitions_of(client, [c.commands_topic, *live.mesh.heard_topics(c)])
                commit(admin, c.group, reading.ends_of_any(client, places))
    printed(live, "setup")
    # then what was heard is not heard again, and the log says so
    orders = live.mesh.context("orders")
    with reading.opened(live.settings) as client:
        assert positions.heard(live.settings, live.mesh, client, orders)[place][0] == 3
        topic_id = positions.listener(live.settings, live.mesh, orders).topic_ids["payments.events"]
        for number in range(4):
            assert f"{topic_id}/{place[1]}/3" in last(client, live.mesh.codec, ("orders.events", number)).begun


@contextmanager
def at_work(live: LiveMesh, context: Context) -> Iterator[None]:
    """Somebody is in the group of a context."""
    servers = live.settings.kafka
    member = Consumer({"bootstrap.servers": servers, "group.id": context.group, "enable.auto.commit": False})
    member.subscribe([context.commands_topic])
    until(lambda: member.poll(0.2) is None and bool(member.assignment()), 30, "it has partitions")
    try:
        yield
    finally:
        member.close()


def said_of_stuck(live: LiveMesh, place: Place, event: Rejected | Discarded) -> None:
    """As a worker says something of the letter `stuck`."""
    codec, context = live.mesh.codec, live.mesh.context("orders")
    with reading.opened(live.settings) as client:
        end = last(client, codec, place).end
    envelope = EventEnvelope("orders", *place, codec.types)
    shared = envelope.command_part(b"stuck", b"stuck", b"stuck", Way.COMMANDS, 0, b"orders.RecordPayment")
    headers = envelope.headers(shared, codec.names[type(event)].encode(), end)
    producer = Producer({"bootstrap.servers": live.settings.kafka})
    producer.produce(context.events_topic, codec.encode(event), b"stuck", place[1], headers=list(headers))
    assert producer.flush(20) == 0


def commit(admin: AdminClient, group: str, ends: Mapping[Place, int]) -> None:
    offsets = [TopicPartition(*place, end) for place, end in ends.items()]
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, offsets)])[group].result(20)
