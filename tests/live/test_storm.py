"""Everything at once: the shop's load with strangers in between, workers killed and frozen, Kafka and Postgres killed in turn.

A short form of it is a test like others; `make storm MINUTES=10` is the long one.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from itertools import count, cycle
from random import Random

import psutil
import pytest
from confluent_kafka import Producer

from infra.cli.running import groups
from infra.edge.client import Poster
from infra.shop import demo
from infra.shop.mesh import mesh
from infra.testing.strangers import TABLE, Model, record_of
from infra.wire.record import partition_of
from tests.live.harness import LiveMesh
from tests.live.shop import audit, live_shop, set_up, until_at_rest, until_set_up
from tests.live.weft import printed

MINUTES = float(os.environ.get("WEFT_STORM_MINUTES", "0.75"))
ORDERS_A_MINUTE = 240
HOSTILE = 0.05  # of what is posted
FROZEN_S = 14.0
BOUND_BYTES = 800 << 20  # of a process: 256 MB of state, and what code and batches take
ON_THE_WIRE = [name for name in TABLE if TABLE[name].is_on_the_wire]


class Load(threading.Thread):
    """Orders of all kinds, with strangers' records in between, for so long."""

    def __init__(self, live: LiveMesh, minutes: float) -> None:
        super().__init__()
        self._live = live
        self._commands = list(demo.commands(mesh, int(ORDERS_A_MINUTE * minutes), seed=21))
        self._pause = 60 * minutes / len(self._commands)
        self._dice = Random(21)
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            poster = Poster(self._live.settings, self._live.mesh, patience=180)
            strangers = Producer(
                {"bootstrap.servers": self._live.settings.kafka, "message.max.bytes": 2_000_000, "log_level": 0}
            )
            for number, command in enumerate(self._commands):
                poster.post(command)
                if self._dice.random() < HOSTILE:
                    kind = dict(command.headers)["ce_type"]
                    model = Model(
                        command.key.encode(), command.value, kind if isinstance(kind, bytes) else kind.encode()
                    )
                    record = record_of(self._dice.choice(ON_THE_WIRE), model, f"hostile-{number}")
                    place = partition_of(record.key or b"", self._live.settings.partitions)
                    strangers.produce(command.topic, record.value, record.key, place, headers=list(record.headers))
                    strangers.poll(0)
                time.sleep(self._pause)
            poster.flush()
            assert strangers.flush(180) == 0
        except Exception as error:
            self.error = error


@pytest.fixture
def storm_mesh() -> Iterator[tuple[LiveMesh, list[str]]]:
    """A mesh as `weft up --split` runs it, and what its supervisor says."""
    said: list[str] = []
    with live_shop("embedded") as live:
        live.instance._say = said.append
        set_up(live)
        live.instance.start_units(groups(live.mesh, (), split=True))
        with live.supervised():
            until_set_up(live)
            yield live, said


@pytest.mark.timeout(int(60 * MINUTES) + 300)
def test_a_storm_leaves_everything_as_it_has_to_be(storm_mesh: tuple[LiveMesh, list[str]]) -> None:
    live, said = storm_mesh
    workers = [name for name in live.instance._starters if name not in ("kafka", "postgres", "sandbox")]
    victims, peak = cycle(workers), 0
    load = Load(live, MINUTES)
    load.start()
    # when each in turn is killed or stands still, for as long as there is load
    for turn in count():
        if not load.is_alive():
            break
        peak = max(peak, *map(_memory, map(live.instance.children.get, workers)))
        match turn % 4:
            case 0:
                live.kill(next(victims))
            case 1:
                _freeze(live, next(victims))
            case 2:
                live.kill("kafka")
            case _:
                live.kill("postgres")
        load.join(5)
    assert load.error is None
    # then all comes to rest, the laws hold, and every read model is what the log says
    until_at_rest(live, int(ORDERS_A_MINUTE * MINUTES), patience=120)
    evidence, wrong = audit(live)
    assert wrong == []
    assert "everything is what the log says" in printed(live, "verify")
    # and nobody has ended by himself, nor taken more than he may
    ended = [line for line in said if " ended with code " in line and " code -9;" not in line]
    assert ended == []
    assert peak < BOUND_BYTES
    print(f"{len(evidence.facts)} events, {evidence.voids} void, at most {peak >> 20} MB a process")


def _freeze(live: LiveMesh, name: str) -> None:
    if child := live.instance.children.get(name):
        child.send_signal(signal.SIGSTOP)
        time.sleep(FROZEN_S)
        child.send_signal(signal.SIGCONT)


def _memory(child: object) -> int:
    try:
        return int(psutil.Process(child.pid).memory_info().rss)  # type: ignore[attr-defined]
    except (psutil.NoSuchProcess, AttributeError):
        return 0
