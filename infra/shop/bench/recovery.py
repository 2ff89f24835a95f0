"""How long one partition needs until it decides again: from nothing, and from its store.

Each start is a process of its own, and of a worker all but Faust: python -m infra.shop.bench.recovery LOG DIRECTORY, with a
fresh directory or one with a store in it.
"""

import asyncio
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.orders import CancelOrder, RecordStock
from commands.payments import AuthorisePayment
from commands.products import AdjustStock, OfferStock, ReserveStock, ShipStock
from infra.embedded.instance import environment
from infra.errors import Unknown, Unusable
from infra.kafka import reading
from infra.kafka.inbound import Gauged, gauging
from infra.kafka.log import KafkaEventLog, Producer, connected
from infra.kafka.topics import CIRCUITS_TOPIC, EFFECTS_TOPIC, HEARD_TOPIC, STOPPED_TOPIC
from infra.messages import Resumed
from infra.model.context import Context
from infra.ops.disk import disk_and_budget
from infra.ops.run import tune
from infra.settings import Settings, address
from infra.shop.bench import work
from infra.shop.mesh import mesh
from infra.wire.envelope import EXPECTED_OFFSET, Cause, Way
from infra.wire.inbound import resumption
from infra.wire.record import Outgoing, Read
from infra.write.aggregates import Aggregates, Unwritten
from infra.write.owner import Owner
from infra.write.reactions import outgoing_command
from infra.write.writer import Writer
from streams.orders.context import context as orders
from streams.payments.context import context as payments
from streams.products.context import context as products

NAME = "recovery"
CHUNK = 800
FOR_EVER_MS = 10**15
ASKED = 20_000
HELD = 10_000  # reservations of a SKU that are neither shipped nor released yet
LOOKED_AT_S = 20.0  # how long a worker is looked at whom the outside does not answer
STARTS = (("nothing", "1"), ("again", "2"), ("store", "1"))  # where from, and in which directory


@dataclass(frozen=True)
class Log:
    """What is recovered: the context that decided it, and of how many things it is made of what these were asked."""

    of: Context
    asked: Callable[[int], Iterator[Any]]

    @property
    def context(self) -> Context:
        return work.context(NAME, self.of)


def measure(settings: Settings, log: str, count: int, directory: Path, say: Callable[[str], None]) -> dict[str, float]:
    """Make one of LOGS, then start twice from nothing and once from a store: seconds, megabytes at most, milliseconds of pause."""
    context = LOGS[log].context
    servers = address(settings, "kafka")
    its = [context.events_topic, context.commands_topic, context.own_topic]
    work.create(servers, [*its, CIRCUITS_TOPIC, EFFECTS_TOPIC, HEARD_TOPIC, STOPPED_TOPIC], partitions=1)
    events = asyncio.run(_make(servers, LOGS[log], count, say))
    say(f"{events:,} events are in one partition")
    result: dict[str, float] = {"events": events}
    for name, home in STARTS:
        start = _start(settings, log, directory / home)
        if start["events"] != events:
            raise Unusable(f"{start['events']} of {events} events were recovered")
        say(
            f"from {'nothing' if name == 'again' else name}: ready after {start['ready_s']:.2f} s, {events / start['ready_s']:,.0f} events/s; "
            f"all folded after {start['settled_s']:.2f} s; {start['memory_mb']:.0f} MB at most, longest pause {start['pause_ms']:.0f} ms"
            + (f"; asked of any order then, {start['per_second']:,.0f} commands/s" if "per_second" in start else "")
        )
        result |= {f"{name}_{what}": figure for what, figure in start.items() if what != "events"}
    return result


async def _make(servers: str, log: Log, count: int, say: Callable[[str], None]) -> int:
    """A log that its context decided, appended as it appends; what it decided on is forgotten behind it.

    Nobody has posted what it decides: at its end it says that commands are read from their topics' beginning.
    """
    context = log.context
    aggregates = _aggregates(context)
    commands = _commands(log.asked(count))
    producer = Producer(servers, "bench")
    try:
        while batch := list(itertools.islice(commands, CHUNK)):
            await work.append(producer, aggregates, batch)
            last = batch[-1].key
            for slot in [slot for slot in aggregates.states if last is None or not slot.endswith(last)]:
                aggregates.let_go(slot)
            aggregates.unwritten = Unwritten()
            aggregates.new_intents()
            aggregates.decided.clear()
            if aggregates.next_offset % 1_000_000 < CHUNK:
                say(f"{aggregates.next_offset:,} events")
        end, place = aggregates.next_offset, (context.events_topic, 0)
        ids = reading.topic_ids(servers, [context.commands_topic, context.own_topic])
        for topic, way in ((context.commands_topic, Way.COMMANDS), (context.own_topic, Way.OWN)):
            named = Resumed(topic_id=ids[topic], cursor=0, reason="this log was made")
            record = resumption(mesh.codec, context.name, place, way, named, end, aggregates.timestamp)
            await producer.append(*place, [record])
            end += 1
    finally:
        await producer.stop()
    return end


def _orders(events: int) -> Iterator[Any]:
    """Orders that are placed, reserved and cancelled, but for one in a hundred."""
    for number in range(events // 4):
        place = work.order(number)
        reserved = [
            RecordStock(order_id=place.order_id, sku=line.sku, reserved=True, reason="") for line in place.lines[:2]
        ]
        last = CancelOrder(order_id=place.order_id, reason="changed my mind")
        yield from [place, *reserved, last] if number % 100 else [place]


def _open_orders(count: int) -> Iterator[Any]:
    """Each still waits for its deadline."""
    return (work.order(number) for number in range(count))


def _reservations(count: int) -> Iterator[Any]:
    """All of one SKU, each shipped when HELD more were made."""
    yield OfferStock(sku="SKU", unit_price_minor=995, currency="EUR")
    yield AdjustStock(sku="SKU", delta=count, reason="delivery")
    for number in range(count):
        order_id = work.order_id(number)
        yield ReserveStock(sku="SKU", order_id=order_id, quantity=1, unit_price_minor=995, currency="EUR")
        if number >= HELD:
            yield ShipStock(sku="SKU", order_id=work.order_id(number - HELD))


def _intents(count: int) -> Iterator[Any]:
    """Payments the gateway was not heard of."""
    for number in range(count):
        place = work.order(number)
        yield AuthorisePayment(
            order_id=place.order_id, customer_id=place.customer_id, amount_minor=995, currency="EUR", card=place.card
        )


LOGS = {
    "events": Log(orders, _orders),
    "aggregates": Log(orders, _open_orders),
    "reservations": Log(products, _reservations),
    "intents": Log(payments, _intents),
}


def _commands(steps: Iterator[Any]) -> Iterator[Read]:
    at = int(time.time() * 1000)
    for offset, step in enumerate(steps):
        record = outgoing_command(mesh.codec, step, f"bench.events/0/{offset}/bench/0", Cause(f"c-{offset:012d}"))
        yield Read("", 0, offset, at, record.key, record.value, record.headers)


def _start(settings: Settings, log: str, directory: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "infra.shop.bench.recovery", log, str(directory)]
    env = {**os.environ, **environment(settings)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, env=env)
    if done.returncode:
        raise Unusable(f"the recovery did not finish: {done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _aggregates(context: Context) -> Aggregates:
    return Aggregates(context, mesh.codec, 0, 1, FOR_EVER_MS)


class Nowhere(KafkaEventLog):
    """Where a start puts what it decides, so that the next one finds the log as it was."""

    async def append(self, partition: int, records: Sequence[Outgoing]) -> int:
        return int(dict(records[0].headers)[EXPECTED_OFFSET] or b"")


async def _away(wanted: object, attempt: object) -> object:
    raise Unknown("nobody is there")


async def recover(settings: Settings, log: Log, directory: Path) -> dict[str, float]:
    """One start, as a worker does it, and of orders then commands about any in the log; leaves a store behind."""
    servers, context = address(settings, "kafka"), log.context
    assert mesh.codec  # made before the clock runs
    ids = reading.topic_ids(servers, [context.events_topic, context.own_topic])
    failures: list[BaseException] = []
    pauses = [0.0]
    watching = asyncio.create_task(_watch(pauses))
    async with AsyncExitStack() as stack:
        producer, reader = await stack.enter_async_context(connected(servers, NAME))
        gauge = stack.enter_context(gauging(servers))
        begun = time.perf_counter()

        def owner() -> Owner:
            disk, budget = disk_and_budget(settings.having(home=directory))
            events = Nowhere(context.events_topic, producer, reader)
            return Owner(
                mesh,
                context,
                1,
                FOR_EVER_MS,
                events,
                producer,
                failures.append,
                ids,
                _nothing_heard,
                Gauged(gauge, servers),
                _reread,
                disk,
                budget,
            )

        worker = owner()
        if context.connect:
            worker.perform_with(_away)
        await worker.assigned([0])
        ready = time.perf_counter() - begun
        running = asyncio.create_task(worker.run())
        writer = worker.writers[0]
        while writer.aggregates.unread:
            await asyncio.sleep(0.01)
        settled = time.perf_counter() - begun
        if context.connect:
            await asyncio.sleep(LOOKED_AT_S)
        running.cancel()
        await asyncio.wait([running])
        await worker.stop()
        events = writer.aggregates.next_offset
        worker = owner()
        await worker.assigned([0])
        asked = {"per_second": await _ask(worker.writers[0], events)} if log.of is orders else {}
    watching.cancel()
    if failures:
        raise failures[0]
    return {
        "events": events,
        "ready_s": ready,
        "settled_s": settled,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "pause_ms": max(pauses) * 1000,
        **asked,
    }


async def _nothing_heard() -> list[Read]:
    return []


async def _reread(place: object) -> None: ...


async def _ask(writer: Writer, events: int) -> float:
    """Cancel orders drawn at random; commands a second. Nothing of it is kept."""
    records = await asyncio.to_thread(_cancellations, writer.aggregates, events)
    begun = time.perf_counter()
    for start in range(0, ASKED, CHUNK):
        await writer.handle(records[start : start + CHUNK])
    return ASKED / (time.perf_counter() - begun)


def _cancellations(aggregates: Aggregates, events: int) -> list[Read]:
    dice, topic, first = random.Random(1), aggregates.context.commands_topic, aggregates.cursors[Way.COMMANDS]
    records = []
    for number in range(ASKED):
        command = CancelOrder(order_id=work.order_id(dice.randrange(events)), reason="")
        record = outgoing_command(mesh.codec, command, f"ask-{number}")
        records.append(Read(topic, 0, first + number, 0, record.key, record.value, record.headers))
    return records


async def _watch(pauses: list[float]) -> None:
    """How long the loop did nothing else."""
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(0.001)
        pauses[0] = max(pauses[0], time.perf_counter() - begun - 0.001)


if __name__ == "__main__":
    tune()
    print(json.dumps(asyncio.run(recover(Settings(), LOGS[sys.argv[1]], Path(sys.argv[2])))))
