"""How long one partition needs until it decides again: from nothing, and from its store.

The log is the orders context's own: orders are placed, reserved and cancelled, and one in a hundred stays open. Each start is a
process of its own: python -m infra.shop.bench.recovery EVENTS DIRECTORY, with a fresh directory or one with a store in it.
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

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
from infra.wire.envelope import Cause
from infra.wire.record import Read
from infra.write.agenda import lines_by
from infra.write.aggregates import Aggregates
from infra.write.fingerprint import fingerprint
from infra.write.reactions import outgoing_command
from infra.write.state import State
from infra.write.writer import Writer

NAME = "recovery"
CHUNK = 800
FOR_EVER_MS = 10**15


def measure(settings: Settings, events: int, directory: Path, say: Callable[[str], None]) -> dict[str, float]:
    """Make the log, then start twice from nothing and once from a store; seconds, and events a second."""
    servers = address(settings, "kafka")
    c = work.context(NAME)
    work.create(servers, [c.events_topic], partitions=1)
    count = asyncio.run(_make(servers, events))
    say(f"{count} events are in one partition")
    starts = {}
    for name, scratch in (("nothing", directory / "1"), ("again", directory / "2"), ("store", directory / "1")):
        starts[name] = start = _start(settings, scratch)
        if start["events"] != count:
            raise Unusable(f"{start['events']} of {count} events were recovered")
        say(
            f"from {'nothing' if name == 'again' else name}: ready after {start['ready_s']:.2f} s, {count / start['ready_s']:,.0f} events/s; "
            f"all aggregates folded after {start['settled_s']:.2f} s"
        )
    return {"events": count} | {
        f"{name}_{what}": start[what] for name, start in starts.items() for what in ("ready_s", "settled_s")
    }


async def _make(servers: str, events: int) -> int:
    """A log that the orders context decided, appended as it appends."""
    aggregates, commands = _aggregates(), _commands(events // 4)
    producer = Producer(servers, "bench")
    try:
        while batch := list(itertools.islice(commands, CHUNK)):
            await work.append(producer, aggregates, batch)
    finally:
        await producer.stop()
    return aggregates.next_offset


def _commands(orders: int) -> Iterator[Read]:
    codec, offset, now = mesh.codec, 0, int(time.time() * 1000)
    for number in range(orders):
        place = work.order(number)
        reserved = [
            RecordStock(order_id=place.order_id, sku=line.sku, reserved=True, reason="") for line in place.lines[:2]
        ]
        last = CancelOrder(order_id=place.order_id, reason="changed my mind")
        steps = [place, *reserved, last] if number % 100 else [place]
        for step in steps:
            record = outgoing_command(codec, step, f"products.events/0/{offset}/orders/0", Cause(f"c-{number:012d}"))
            yield Read("", 0, offset, now, record.key, record.value, record.headers)
            offset += 1


def _start(settings: Settings, directory: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "infra.shop.bench.recovery", str(directory)]
    env = {**os.environ, **environment(settings)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=env)
    if done.returncode:
        raise Unusable(f"the recovery did not finish: {done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _aggregates() -> Aggregates:
    return Aggregates(work.context(NAME), mesh.codec, 0, 1, FOR_EVER_MS)


async def recover(settings: Settings, directory: Path) -> dict[str, float]:
    """One start, as a worker does it; leaves a store behind."""
    servers, context = address(settings, "kafka"), work.context(NAME)
    assert mesh.codec  # made before the clock runs
    ids = reading.topic_ids(servers, [context.events_topic])
    async with connected(servers, NAME) as (producer, reader):
        log = KafkaEventLog(context.events_topic, producer, reader)
        begun = time.perf_counter()
        disk, budget = disk_and_budget(settings.having(home=directory))
        state = await State.opened(
            _aggregates(),
            disk,
            ids[context.events_topic],
            fingerprint(context, mesh.codec),
            lines_by(context.target),
            budget.share,
        )
        writer = Writer(state, log, producer, lambda intents: None)
        await writer.recover()
        ready = time.perf_counter() - begun
        await writer.settle()
        settled = time.perf_counter() - begun
        events = state.aggregates.next_offset
        await writer.close()
    return {"events": events, "ready_s": ready, "settled_s": settled}


if __name__ == "__main__":
    tune()
    print(json.dumps(asyncio.run(recover(Settings(), Path(sys.argv[1])))))
