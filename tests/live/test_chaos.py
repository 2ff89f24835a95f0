"""Workers killed and frozen, Kafka and Postgres killed, offsets lied about: under load, on the real thing."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

import infra.shop.laws
from infra.cli.running import groups
from infra.edge.client import Poster
from infra.shop import demo
from infra.shop.mesh import mesh
from tests.live.harness import LiveMesh, until
from tests.live.shop import audit, cancellation, live_shop, set_up, until_at_rest, until_set_up

ORDERS = 500  # about thirty events each
FLOOD = 10_000
FROZEN = 14.0  # seconds; the session times out after 6, and who takes over folds anew: the store is the frozen one's


class Load(threading.Thread):
    """Orders of all kinds in bursts, so that workers always have something queued."""

    def __init__(self, live: LiveMesh, seconds: float, orders: int = ORDERS, seed: int = 7) -> None:
        super().__init__()
        self._live = live
        self._pause = seconds / 15
        self._commands = list(demo.commands(mesh, orders, seed))
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            poster = Poster(self._live.settings, self._live.mesh, patience=120)
            size = len(self._commands) // 15 + 1
            for start in range(0, len(self._commands), size):
                for command in self._commands[start : start + size]:
                    poster.post(command)
                time.sleep(self._pause)
            poster.flush()
        except Exception as error:
            self.error = error

    def __enter__(self) -> "Load":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.join()
        if self.error:
            raise self.error


@contextmanager
def flood(live: LiveMesh, number: int) -> Iterator[None]:
    """More commands than the workers keep up with; the body runs while they are in the middle of them."""
    name = f"nobody-{number}"
    wishes = [cancellation(f"{name}-{i}", "a flood") for i in range(FLOOD)]
    before = live.length("orders.events")
    posting = threading.Thread(target=live.send, args=wishes)
    posting.start()
    try:
        until(lambda: live.length("orders.events") > before + FLOOD // 20, 40, "the flood is being decided")
        yield
    finally:
        posting.join()


def storm(live: LiveMesh, module: str, freezes: int) -> None:
    """Two workers share four partitions; one is killed, then one is frozen until it is taken for dead, and thawed."""
    first, second = live.worker(module=module), live.worker(module=module)
    live.ready(first)
    live.ready(second)
    until_set_up(live)
    with Load(live, seconds=8 + freezes * 8):
        time.sleep(2)
        first.kill()
        third = live.worker(module=module)
        live.ready(third)
        for number, victim in enumerate((second, third)[:freezes]):
            with flood(live, number):
                victim.send_signal(signal.SIGSTOP)
                time.sleep(FROZEN)
                victim.send_signal(signal.SIGCONT)
    for _ in range(2):  # a worker that found its partition lost may have ended itself
        live.worker(module=module)


@pytest.mark.timeout(240)
def test_kill_and_freeze_lose_nothing_and_apply_nothing_twice(own_mesh: LiveMesh) -> None:
    storm(own_mesh, "infra.cli", freezes=1)
    until_at_rest(own_mesh, ORDERS, patience=120)
    evidence, wrong = audit(own_mesh)
    assert wrong == []
    print(f"{len(evidence.facts)} events, {evidence.voids} void")


@pytest.mark.timeout(240)
def test_without_the_offset_check_the_same_storm_is_seen_to_do_damage(
    own_mesh: LiveMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    storm(own_mesh, "tests.live.unchecked", freezes=2)
    until(
        lambda: len(own_mesh.query("SELECT 1 FROM receipts WHERE command_type = 'orders.PlaceOrder'")) >= ORDERS,
        120,
        "every order is decided",
    )
    monkeypatch.setattr(infra.shop.laws, "accepted", lambda headers, offset: True)
    _, wrong = audit(own_mesh)
    assert any("applied" in line for line in wrong), wrong[:5]


@pytest.fixture(scope="module")
def supervised() -> Iterator[LiveMesh]:
    """A mesh as `weft up` runs it: what dies is started again."""
    with live_shop("embedded") as live:
        set_up(live)
        live.instance.start_units(groups(live.mesh, (), split=False))
        with live.supervised():
            until_set_up(live)
            yield live


def survives(live: LiveMesh, service: str, seed: int) -> None:
    """Kill a service in the middle of the work; afterwards everything has to add up."""
    before = len(live.query("SELECT 1 FROM orders"))
    with Load(live, seconds=6, orders=200, seed=seed):
        until(lambda: len(live.query("SELECT 1 FROM orders")) > before + 50, 40, "work has begun")
        live.kill(service)
    until_at_rest(live, before + 200, patience=120)
    _, wrong = audit(live)
    assert wrong == []


@pytest.mark.timeout(240)
def test_the_mesh_recovers_when_kafka_is_killed(supervised: LiveMesh) -> None:
    survives(supervised, "kafka", seed=8)


@pytest.mark.timeout(240)
def test_the_mesh_recovers_when_postgres_is_killed(supervised: LiveMesh) -> None:
    survives(supervised, "postgres", seed=9)


@pytest.mark.timeout(240)
def test_the_mesh_recovers_when_its_worker_is_killed(supervised: LiveMesh) -> None:
    survives(supervised, "mesh", seed=10)


def run_orders(live: LiveMesh, orders: int, seed: int) -> None:
    live.post(list(demo.commands(mesh, orders, seed)))


@pytest.mark.timeout(180)
def test_group_offsets_are_a_hint_and_never_the_truth(own_mesh: LiveMesh) -> None:
    admin = AdminClient({"bootstrap.servers": own_mesh.settings.kafka, "log_level": 0})

    def moved_far_ahead() -> None:
        ahead = [TopicPartition("orders.commands", p, 1_000_000) for p in range(own_mesh.settings.partitions)]
        (future,) = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions("weft.orders", ahead)]).values()
        future.result(10)

    def deleted() -> None:
        for group in ("weft.orders", "weft.payments", "weft.notifications"):
            admin.delete_consumer_groups([group])[group].result(10)

    worker = own_mesh.worker()
    own_mesh.ready(worker)
    until_set_up(own_mesh)
    for number, lie in enumerate((moved_far_ahead, deleted), 1):
        run_orders(own_mesh, 30, seed=2 * number)
        until_at_rest(own_mesh, 60 * number - 30)
        worker.terminate()
        worker.wait(30)
        run_orders(own_mesh, 30, seed=2 * number + 1)
        lie()
        worker = own_mesh.worker()
        until_at_rest(own_mesh, 60 * number)
        _, wrong = audit(own_mesh)
        assert wrong == [], lie.__name__
