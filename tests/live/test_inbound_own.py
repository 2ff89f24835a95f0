"""A context that lost what it had asked itself asks it again; and what a look says of a real broker."""

import asyncio
import signal
import time
from typing import Any

import pytest
from confluent_kafka import Producer as Client
from confluent_kafka import TopicPartition

from infra.errors import Unknown
from infra.kafka import reading, topics
from infra.kafka.inbound import Found, Gauge, gauging
from infra.kafka.log import Producer
from infra.ops.finish import hear
from infra.settings import address
from tests.live.harness import LiveMesh, until
from tests.live.inbound import at_work, errors, stopped
from tests.live.shop import audit, order, paid_order, register, saga, until_set_up
from tests.live.weft import printed, weft

OWN = "products.own"
COMMANDS = "products.commands"


def let_hear(live: LiveMesh, context: str) -> int:
    """What a worker does that is killed after it has reacted, and before it decides what it asked itself."""
    c = live.mesh.context(context)

    async def heard() -> int:
        producer = Producer(address(live.settings, "kafka"), "test")
        try:
            with reading.opened(live.settings) as client:
                ends = reading.ends(client, reading.partitions_of(client, live.mesh.heard_topics(c)))
                return await hear(live.settings, live.mesh, client, producer, c, ends)
        finally:
            await producer.stop()

    return asyncio.run(heard())


def lose(live: LiveMesh, topic: str) -> None:
    with topics.admin(live.settings) as admin:
        places = [TopicPartition(topic, n, -1) for n in range(live.settings.partitions)]
        for future in admin.delete_records(places).values():
            future.result(20)


@pytest.mark.timeout(300)
def test_reactions_that_were_lost_before_they_were_decided_are_asked_again(own_mesh: LiveMesh) -> None:
    live = own_mesh
    register(live, "ada")
    at_work(live)
    until_set_up(live)
    paid_order(live, "old")
    live.stop_workers()
    # given orders that products have heard of, and what they asked themselves because of that is lost
    before = live.length("orders.events")
    live.ready(live.worker("orders"))
    live.send(*(order(f"new-{number}") for number in range(6)))
    until(lambda: live.length("orders.events") >= before + 6, 40, "the orders are placed")
    live.stop_workers()
    assert let_hear(live, "products") >= 6
    lose(live, OWN)
    # then that is said, and is not accepted while somebody would go on from where he is
    worker = at_work(live)
    found = until(lambda: stopped(live), 30, "it is said")
    assert {(s["topic"], s["loss"]) for s in found} == {(OWN, "deleted")}
    refused = weft(live, "topics", "accept", "products", "--yes")
    assert refused.returncode == 1 and "is at work" in refused.stderr and "stop its workers first" in refused.stderr
    assert len(errors(live, worker)) == len(found)
    live.stop_workers()
    # when it is accepted while nobody is
    said = until(lambda: _accepted(live), 40, "the group has noticed that they are gone")
    assert "products hears orders.events/" in said and "again from offset" in said
    at_work(live)
    # then all of it is done, once
    for number in range(6):
        saga(live, f"new-{number}", "to be shipped")
    assert stopped(live) == []
    assert audit(live)[1] == []
    assert "everything is what the log says" in printed(live, "verify")


def _accepted(live: LiveMesh) -> str:
    done = weft(live, "topics", "accept", "products", "--yes")
    assert done.returncode == 0 or "is at work" in done.stderr, done.stderr
    return done.stdout if done.returncode == 0 else ""


# -- what a look says


def produced(live: LiveMesh, count: int, *, in_a_transaction: bool = False) -> None:
    """So many records in each partition."""
    more: dict[str, Any] = {"transactional.id": "test"} if in_a_transaction else {}
    client = Client({"bootstrap.servers": live.settings.kafka, **more})
    if in_a_transaction:
        client.init_transactions(20)
        client.begin_transaction()
    for number in range(live.settings.partitions):
        for _ in range(count):
            client.produce(COMMANDS, b"junk", b"k", number)
    if in_a_transaction:
        client.commit_transaction(20)
    assert client.flush(20) == 0


@pytest.mark.timeout(120)
def test_a_look_says_what_is_there_also_where_marks_of_transactions_are_and_while_it_changes(
    own_mesh: LiveMesh,
) -> None:
    live = own_mesh
    places = [(COMMANDS, n) for n in range(live.settings.partitions)]
    starts = {place: live.length_of(*place) for place in places}
    produced(live, 3)
    produced(live, 1, in_a_transaction=True)
    with gauging(address(live.settings, "kafka")) as gauge:
        # a record of each, all at once, and as often as one likes
        for behind in (0, 1, 0):
            begun = time.monotonic()
            found = gauge.look(places, {place: start + behind for place, start in starts.items()})
            assert time.monotonic() - begun < 3
            assert {p: _last(found[p]) for p in places} == {p: start + behind for p, start in starts.items()}
        # nothing but a mark is another than was decided there, and is not waited for
        ends = {place: live.length_of(*place) for place in places}
        assert {p: _last(there) for p, there in gauge.look(places, {p: e - 1 for p, e in ends.items()}).items()} == ends
        for place in places:
            assert len(list(gauge.records(place, starts[place], ends[place]))) == 4
        _changes_meanwhile(live, gauge, places[0], starts[places[0]])


def _changes_meanwhile(live: LiveMesh, gauge: Gauge, place: tuple[str, int], start: int) -> None:
    """A record that is deleted after it was asked where the topic begins."""
    real = gauge._records

    def deleted(offsets: Any) -> Any:
        with topics.admin(live.settings) as admin:
            for future in admin.delete_records([TopicPartition(*place, start + 2)]).values():
                future.result(20)
        return real(offsets)

    gauge._records = deleted  # type: ignore[method-assign]
    found = gauge.look([place], {place: start})[place]
    assert isinstance(found, Found) and found.low == start + 2 and found.last is None


def _last(there: Any) -> int:
    assert isinstance(there, Found) and there.last is not None, there
    return there.last.offset


@pytest.mark.timeout(120)
def test_a_broker_that_falls_silent_at_a_deletion_ends_nobody(own_mesh: LiveMesh, monkeypatch: Any) -> None:
    live = own_mesh
    monkeypatch.setattr("infra.kafka.inbound.TIMEOUT", 2.0)
    produced(live, 3)
    kafka = live.instance.children.get("kafka")
    if kafka is None:
        pytest.skip("Kafka is not ours to stop")
    with gauging(address(live.settings, "kafka")) as gauge:
        found = gauge.look([(COMMANDS, 0)], {})[COMMANDS, 0]
        assert isinstance(found, Found)
        described = gauge._described

        def then_silent(names: Any) -> Any:
            answer = described(names)
            kafka.send_signal(signal.SIGSTOP)
            return answer

        monkeypatch.setattr(gauge, "_described", then_silent)
        try:
            with pytest.raises(Unknown):
                gauge.delete_before({(COMMANDS, 0): 1}, {COMMANDS: found.topic_id})
        finally:
            kafka.send_signal(signal.SIGCONT)
