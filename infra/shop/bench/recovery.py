"""How long one partition needs until it decides again: from nothing, and from its store.

The log is the orders context's own: orders are placed, reserved and cancelled, and one in a hundred stays open. Each start is a
process of its own: python -m infra.shop.bench.recovery EVENTS DIRECTORY, with a fresh directory or one with a store in it.
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
from pathlib import Path
from typing import Any

from commands.orders import CancelOrder, RecordStock
from infra.embedded.instance import environment
from infra.errors import Unusable
from infra.kafka import reading
from infra.kafka.log import KafkaEventLog, Producer, connected
from infra.ops.disk import disk_and_budget
from infra.ops.run import tune
from infra.settings import Settings, address
from infra.shop.bench import work
from infra.shop.mesh import mesh
from infra.wire.envelope import EXPECTED_OFFSET, Cause, Way
from infra.wire.record import Outgoing, Read
from infra.write.aggregates import Aggregates, Unwritten
from infra.write.fingerprint import fingerprint
from infra.write.reactions import outgoing_command
from infra.write.state import State
from infra.write.writer import Writer

NAME = "recovery"
CHUNK = 800
FOR_EVER_MS = 10**15
ASKED = 20_000


STARTS = (("nothing", "1"), ("again", "2"), ("store", "1"))  # where from, and in which directory


def measure(
    settings: Settings, events: int, open_orders: int | None, directory: Path, say: Callable[[str], None]
) -> dict[str, float]:
    """Make the log, then start twice from nothing and once from a store: seconds, megabytes at most, milliseconds of pause.

    `open_orders` makes a log of so many orders instead, each of which still waits for its deadline.
    """
    servers = address(settings, "kafka")
    c = work.context(NAME)
    work.create(servers, [c.events_topic], partitions=1)
    commands = _open_orders(open_orders) if open_orders else _commands(events // 4)
    count = asyncio.run(_make(servers, commands, say))
    say(f"{count:,} events are in one partition")
    result: dict[str, float] = {"events": count}
    for name, home in STARTS:
        start = _start(settings, directory / home)
        if start["events"] != count:
            raise Unusable(f"{start['events']} of {count} events were recovered")
        say(
            f"from {'nothing' if name == 'again' else name}: ready after {start['ready_s']:.2f} s, {count / start['ready_s']:,.0f} events/s; "
            f"all folded after {start['settled_s']:.2f} s; {start['memory_mb']:.0f} MB at most, longest pause {start['pause_ms']:.0f} ms; "
            f"asked of any order then, {start['per_second']:,.0f} commands/s"
        )
        result |= {f"{name}_{what}": figure for what, figure in start.items() if what != "events"}
    return result


async def _make(servers: str, commands: Iterator[Read], say: Callable[[str], None]) -> int:
    """A log that the orders context decided, appended as it appends; what it decided on is forgotten behind it."""
    aggregates = _aggregates()
    producer = Producer(servers, "bench")
    try:
        while batch := list(itertools.islice(commands, CHUNK)):
            await work.append(producer, aggregates, batch)
            last = batch[-1].key
            for slot in [slot for slot in aggregates.states if slot != last]:
                aggregates.let_go(slot)
            aggregates.unwritten = Unwritten()
            aggregates.new_intents()
            aggregates.decided.clear()
            if aggregates.next_offset % 1_000_000 < CHUNK:
                say(f"{aggregates.next_offset:,} events")
    finally:
        await producer.stop()
    return aggregates.next_offset


def _commands(orders: int) -> Iterator[Read]:
    """Orders that are placed, reserved and cancelled, but for one in a hundred."""
    offset = itertools.count()
    for number in range(orders):
        place = work.order(number)
        reserved = [
            RecordStock(order_id=place.order_id, sku=line.sku, reserved=True, reason="") for line in place.lines[:2]
        ]
        last = CancelOrder(order_id=place.order_id, reason="changed my mind")
        for step in [place, *reserved, last] if number % 100 else [place]:
            yield _record(step, next(offset))


def _open_orders(count: int) -> Iterator[Read]:
    return (_record(work.order(number), number) for number in range(count))


def _record(step: Any, offset: int) -> Read:
    command_id, cause = f"products.events/0/{offset}/orders/0", Cause(f"c-{offset:012d}")
    record = outgoing_command(mesh.codec, step, command_id, cause)
    return Read("", 0, offset, int(time.time() * 1000), record.key, record.value, record.headers)


def _start(settings: Settings, directory: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "infra.shop.bench.recovery", str(directory)]
    env = {**os.environ, **environment(settings)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, env=env)
    if done.returncode:
        raise Unusable(f"the recovery did not finish: {done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _aggregates() -> Aggregates:
    return Aggregates(work.context(NAME), mesh.codec, 0, 1, FOR_EVER_MS)


class Nowhere(KafkaEventLog):
    """Where a start puts what it decides, so that the next one finds the log as it was."""

    async def append(self, partition: int, records: Sequence[Outgoing]) -> int:
        return int(dict(records[0].headers)[EXPECTED_OFFSET] or b"")


async def recover(settings: Settings, directory: Path) -> dict[str, float]:
    """One start, as a worker does it, and then commands about orders from anywhere in the log; leaves a store behind."""
    servers, context = address(settings, "kafka"), work.context(NAME)
    assert mesh.codec  # made before the clock runs
    ids = reading.topic_ids(servers, [context.events_topic])
    pauses = [0.0]
    watching = asyncio.create_task(_watch(pauses))
    async with connected(servers, NAME) as (producer, reader):
        begun = time.perf_counter()
        disk, budget = disk_and_budget(settings.having(home=directory))
        budget.partitions = 1

        async def opened() -> Writer:
            code = fingerprint(context, mesh.codec)
            topic_id = ids[context.events_topic]
            state = await State.opened(_aggregates(), disk, topic_id, code, budget.share)
            log = Nowhere(context.events_topic, producer, reader)
            return Writer(state, log, producer, lambda intents: None)

        writer = await opened()
        await writer.recover()
        ready = time.perf_counter() - begun
        await writer.settle()
        settled = time.perf_counter() - begun
        events = writer.aggregates.next_offset
        await writer.close()
        writer = await opened()
        rate = await _ask(writer, events)
    watching.cancel()
    return {
        "events": events,
        "ready_s": ready,
        "settled_s": settled,
        "per_second": rate,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "pause_ms": max(pauses) * 1000,
    }


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
    print(json.dumps(asyncio.run(recover(Settings(), Path(sys.argv[1])))))
