"""Where a consumer reads on from, whatever Faust had fetched before."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
import pytest
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from infra.write.host.batches import BatchConsumer, BatchTransport

EVENTS = TP("orders.events", 0)
COMMANDS = TP("payments.commands", 0)


@dataclass
class Fetched:
    offset: int
    timestamp: int = 0


class Bench:
    """A consumer whose broker is a list of what is fetched next; `seeks` and `delivered` are what it did."""

    def __init__(self, consumer: BatchConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.consumer = consumer
        self.committed: dict[TP, int | None] = {}
        self.seeks: list[tuple[TP, int]] = []
        self.delivered: list[tuple[TP, list[int]]] = []
        self.fetches: list[Any] = []

        async def seek_to_committed() -> dict[TP, int | None]:
            return self.committed

        async def seek(tp: TP, offset: int) -> None:
            self.seeks.append((tp, offset))

        async def next_records(timeout: float) -> tuple[dict[TP, list[Fetched]], set[TP]]:
            if not self.fetches:
                consumer._stopped.set()
                return {}, set()
            fetched: dict[TP, list[Fetched]] = await self.fetches.pop(0)()
            return fetched, consumer._active_partitions

        async def deliver(tp: TP, records: list[Fetched], generation: int) -> None:
            self.delivered.append((tp, [r.offset for r in records]))

        monkeypatch.setattr(consumer, "assignment", lambda: set(self.committed))
        monkeypatch.setattr(consumer, "seek_to_committed", seek_to_committed)
        monkeypatch.setattr(consumer, "_seek", seek)
        monkeypatch.setattr(consumer, "_wait_next_records", next_records)
        monkeypatch.setattr(consumer, "_deliver", deliver)

    async def drain(self) -> None:
        await self.consumer._drain_messages(self.consumer)


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    app = faust.App("batches", broker="kafka://127.0.0.1:1", datadir=str(tmp_path), web_enabled=False)
    app.transport = BatchTransport(app.conf.broker_consumer, app)
    consumer = app.consumer
    assert isinstance(consumer, BatchConsumer)
    consumer._active_partitions = {EVENTS, COMMANDS}
    yield Bench(consumer, monkeypatch)
    consumer._thread.thread_loop.close()  # type: ignore[attr-defined]


async def test_what_was_never_committed_is_read_from_the_beginning(bench: Bench) -> None:
    # given a topic of whose events none was acknowledged yet
    bench.committed = {EVENTS: None}
    # when the consumer goes where it has to go on
    await bench.consumer.perform_seek()
    # then that is the beginning, and not wherever the last fetch ended
    assert bench.seeks == [(EVENTS, 0)]


async def test_the_logs_own_cursor_wins_over_the_group(bench: Bench) -> None:
    bench.committed = {COMMANDS: 70, EVENTS: 5}
    bench.consumer.position_of = {COMMANDS: 40}.get
    await bench.consumer.perform_seek()
    assert sorted(bench.seeks) == [(EVENTS, 5), (COMMANDS, 40)]


async def test_what_was_fetched_while_positions_were_set_is_not_delivered(bench: Bench) -> None:
    # given a fetch that began before positions were set, and ended after
    bench.committed = {EVENTS: 100}

    async def overtaken() -> dict[TP, list[Fetched]]:
        await bench.consumer.perform_seek()
        return {EVENTS: [Fetched(150)]}

    async def after() -> dict[TP, list[Fetched]]:
        return {EVENTS: [Fetched(100)]}

    bench.fetches = [overtaken, after]
    # when it is drained
    await bench.drain()
    # then positions are set once more, for the fetch moved them, and only what comes after is delivered
    assert bench.seeks == [(EVENTS, 100), (EVENTS, 100)]
    assert bench.delivered == [(EVENTS, [100])]


async def test_a_partition_that_is_taken_away_while_its_position_is_set_ends_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a fetch that is overtaken by a rebalance, which takes the partition away as soon as it is sought there
    bench.committed = {EVENTS: 100}

    async def overtaken() -> dict[TP, list[Fetched]]:
        bench.consumer._seeks += 1
        monkeypatch.setattr(bench.consumer, "seek_to_committed", gone)
        return {EVENTS: [Fetched(150)]}

    async def gone() -> dict[TP, int | None]:
        raise IllegalStateError("No current assignment for partition")

    async def after() -> dict[TP, list[Fetched]]:
        return {EVENTS: [Fetched(100)]}

    bench.fetches = [overtaken, after]
    # when it is drained
    await bench.drain()
    # then fetching goes on
    assert bench.delivered == [(EVENTS, [100])]


async def test_nothing_of_an_earlier_assignment_is_committed_with_what_comes_after(bench: Bench) -> None:
    # given a batch that was acknowledged, and one that was delivered and dropped, while the partition was being revoked
    consumer: Any = bench.consumer
    consumer._acked[EVENTS], consumer._acked_index[EVENTS] = [150], {150}
    consumer._gap[EVENTS].addi(151, 200)
    # when the partition is assigned again, and the first batch from its position is done, but the second is not
    bench.committed = {EVENTS: 100}
    await bench.consumer.perform_seek()
    consumer._gap[EVENTS].addi(100, 119)
    consumer._gap[EVENTS].addi(120, 149)
    consumer._acked[EVENTS].append(119)
    # then only the first is committed
    assert consumer._new_offset(EVENTS) == 120
    assert consumer._new_offset(EVENTS) is None


async def test_what_a_fetch_brings_that_was_under_way_when_a_partition_is_read_anew_is_not_delivered(
    bench: Bench,
) -> None:
    # given a fetch, and that somebody has one of its partitions read from its position again meanwhile
    bench.committed = {COMMANDS: None, EVENTS: None}
    bench.consumer.position_of = {COMMANDS: 2}.get

    async def overtaken() -> dict[TP, list[Fetched]]:
        bench.consumer.reread(COMMANDS)
        return {COMMANDS: [Fetched(16)], EVENTS: [Fetched(5)]}

    async def after() -> dict[TP, list[Fetched]]:
        return {COMMANDS: [Fetched(2)]}

    bench.fetches = [overtaken, after]
    # when it is drained
    await bench.drain()
    # then of that partition only what comes from there is delivered
    assert bench.seeks == [(COMMANDS, 2)]
    assert bench.delivered == [(EVENTS, [5]), (COMMANDS, [2])]


async def test_nor_is_it_if_that_is_asked_for_while_another_partition_is_delivered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given what one fetch has brought of two partitions
    bench.committed = {COMMANDS: None, EVENTS: None}
    bench.consumer.position_of = {COMMANDS: 2}.get
    deliver = bench.consumer._deliver

    async def slowly(tp: TP, records: list[Fetched], generation: int) -> None:
        if tp == EVENTS:
            bench.consumer.reread(COMMANDS)
        await deliver(tp, records, generation)

    async def both() -> dict[TP, list[Fetched]]:
        return {EVENTS: [Fetched(5)], COMMANDS: [Fetched(16)]}

    async def nothing() -> dict[TP, list[Fetched]]:
        return {}

    async def after() -> dict[TP, list[Fetched]]:
        return {COMMANDS: [Fetched(2)]}

    monkeypatch.setattr(bench.consumer, "_deliver", slowly)
    bench.fetches = [both, nothing, after]
    # when the second is read from its position again while the first is being delivered
    await bench.drain()
    # then of that partition only what comes from there is delivered
    assert bench.delivered == [(EVENTS, [5]), (COMMANDS, [2])]


async def test_what_was_fetched_of_a_partition_that_is_held_meanwhile_is_delivered_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given what one fetch has brought of two partitions
    bench.committed = {COMMANDS: None, EVENTS: None}
    deliver = bench.consumer._deliver

    async def slowly(tp: TP, records: list[Fetched], generation: int) -> None:
        bench.consumer.hold(COMMANDS)
        await deliver(tp, records, generation)

    async def both() -> dict[TP, list[Fetched]]:
        return {EVENTS: [Fetched(5)], COMMANDS: [Fetched(16)]}

    monkeypatch.setattr(bench.consumer, "_deliver", slowly)
    bench.fetches = [both]
    # when the second is held while the first is being delivered
    await bench.drain()
    # then nothing is left out: what comes next is fetched behind it
    assert bench.delivered == [(EVENTS, [5]), (COMMANDS, [16])]
    assert bench.consumer._active_partitions == {EVENTS}


@pytest.mark.parametrize("how", ["go on", "positions", "read anew"])
async def test_a_partition_that_was_held_is_fetched_again(how: str, bench: Bench) -> None:
    bench.committed = {COMMANDS: None, EVENTS: None}
    bench.consumer.hold(COMMANDS)
    if how == "positions":
        await bench.consumer.perform_seek()
    elif how == "read anew":
        bench.consumer.reread(COMMANDS)
    else:
        bench.consumer.go_on(COMMANDS)
    assert bench.consumer._active_partitions == {EVENTS, COMMANDS}


async def test_one_that_is_somebody_elses_by_now_is_not(bench: Bench) -> None:
    bench.consumer.hold(COMMANDS)
    bench.consumer.go_on(COMMANDS)
    assert bench.consumer._active_partitions == {EVENTS}


async def test_what_is_active_when_a_poll_begins_is_all_it_asks_for_though_the_last_of_it_is_held_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a poll under way
    asked: list[set[TP]] = []

    async def poll(consumer: object, active: set[TP], timeout: float) -> dict[TP, list[Fetched]]:
        asked.append(active)
        bench.consumer.hold(EVENTS)
        bench.consumer.hold(COMMANDS)
        return {}

    monkeypatch.setattr(driver.Consumer, "_getmany", poll)
    bench.committed = {COMMANDS: None, EVENTS: None}
    # when all that it asks for is held meanwhile
    await bench.consumer._getmany(bench.consumer._active_partitions, 1.0)
    # then it does not ask for everything, as one would that asks for nothing by name
    assert asked == [{EVENTS, COMMANDS}]
