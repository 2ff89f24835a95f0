"""The private parts of faust-streaming that infra/write/host/batches.py touches, pinned: an upgrade that moves them fails here."""

import inspect
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import faust
import pytest
from aiokafka.consumer.fetcher import Fetcher
from faust.events import Event
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver

from infra.settings import Settings
from infra.shop.mesh import mesh
from infra.write.host.batches import BatchConsumer, BatchTransport
from infra.write.host.worker import _application


def test_the_version_is_the_one_that_was_read() -> None:
    assert version("faust-streaming") == "0.15.3"


def test_the_parts_we_override_have_the_signatures_we_know() -> None:
    assert list(inspect.signature(Consumer._drain_messages).parameters) == ["self", "fetcher"]
    assert list(inspect.signature(Consumer.perform_seek).parameters) == ["self"]
    assert list(inspect.signature(Consumer.seek).parameters) == ["self", "partition", "offset"]
    assert list(inspect.signature(Consumer._wait_next_records).parameters) == ["self", "timeout"]


def test_the_driver_finds_its_consumer_on_the_transport() -> None:
    assert driver.Transport.Consumer is driver.Consumer
    assert BatchTransport.Consumer is BatchConsumer


async def test_the_consumer_has_the_state_we_touch(tmp_path: object) -> None:
    app = faust.App("contract", broker="kafka://127.0.0.1:1", datadir=str(tmp_path), web_enabled=False)
    app.transport = BatchTransport(app.conf.broker_consumer, app)
    consumer = app.consumer
    assert isinstance(consumer, BatchConsumer)
    for name in ("_read_offset", "_gap", "_committed_offset", "flow_active", "suspend_flow", "consumer_stopped_errors"):
        assert hasattr(consumer, name), name
    consumer._thread.thread_loop.close()  # made with the consumer, closed only by a start and a stop
    assert hasattr(app.topics, "_tp_index")
    assert hasattr(app, "consumer_generation_id")


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 5, 7])
async def test_a_partition_of_both_command_topics_is_one_process_s(processes: int, tmp_path: Path) -> None:
    # given a consumer as Faust makes it for us
    app = _application(Settings(home=tmp_path, kafka="127.0.0.1:1"), mesh.context("orders"))
    thread = app.consumer._thread  # type: ignore[attr-defined]
    consumer = thread._create_worker_consumer(app.transport)
    (assignor,) = consumer._partition_assignment_strategy
    # when partitions are given out to so many
    topics = {"orders.commands": 4, "orders.own": 4, "payments.events": 4, "products.events": 8}
    cluster = SimpleNamespace(partitions_for_topic=lambda topic: set(range(topics[topic])))
    members = {f"process-{i}": assignor.metadata(topics) for i in range(processes)}
    given = {member: dict(said.assignment) for member, said in assignor.assign(cluster, members).items()}
    # then each has the same of both, and somebody has each
    assert all(said.get("orders.commands") == said.get("orders.own") for said in given.values())
    assert sorted(n for said in given.values() for n in said.get("orders.own", ())) == [0, 1, 2, 3]
    await consumer.stop()
    thread.thread_loop.close()


def test_faust_still_seeks_after_the_barrier() -> None:
    from faust.tables.recovery import Recovery

    source = inspect.getsource(Recovery._resume_streams)
    assert source.index("on_rebalance_complete.send") < source.index("perform_seek") < source.index("resume_flow")


def test_acks_are_compiled() -> None:
    # the pure-Python stream acknowledges events it skips for a stale generation
    from faust import streams

    assert streams._CStreamIterator is not None


def test_an_event_is_made_the_way_we_make_it() -> None:
    assert list(inspect.signature(Event.__init__).parameters)[1:6] == ["app", "key", "value", "headers", "message"]


def test_aiokafka_asks_for_each_fetch_how_long_it_may_wait() -> None:
    assert "self._fetch_max_wait_ms" in inspect.getsource(Fetcher._get_actions_per_node)


def test_aiokafka_makes_its_records_where_we_make_plain_ones() -> None:
    from aiokafka.consumer import fetcher

    from infra.kafka import lean

    assert version("aiokafka") == "0.14.0"
    source = inspect.getsource(lean.LeanRecords.__mro__[1])
    assert "self._records_iterator = self._unpack_records()" in source
    assert "self._check_crcs and not next_batch.validate_crc()" in source
    assert "PartitionRecords(" in inspect.getsource(fetcher.Fetcher)
