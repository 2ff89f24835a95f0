"""Events a second into the rows of `orders`: one by one, live in batches, and rebuilt; on one log, in one run.

The log is the orders context's own: every order is placed, reserved, authorised, confirmed, paid, shipped and delivered, nine
events of which the projection reads five. All figures are records of that log a second. What the others are compared with is
the projector everybody writes first: for each event it reads the row, folds, writes row and position, and commits.
"""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

from commands.orders import DeliverOrder, RecordPayment, RecordStock, ShipOrder
from infra.embedded.instance import environment
from infra.errors import Unusable
from infra.kafka import reading
from infra.kafka.log import Producer
from infra.messages import Resumed
from infra.model.context import Context
from infra.model.projection import Projection
from infra.ops.run import tune
from infra.read import postgres, projector, tables
from infra.read.fold import Fold
from infra.read.held import room
from infra.read.rebuild import Stage, rebuild
from infra.read.rebuild.compare import compare
from infra.read.tables import Store
from infra.read.verify import Anew
from infra.settings import Settings, address, as_role
from infra.shop.bench import work
from infra.shop.mesh import mesh
from infra.wire.envelope import Cause, Way
from infra.wire.inbound import resumption
from infra.wire.record import Read, partition_of
from infra.write.aggregates import Aggregates
from infra.write.reactions import outgoing_command
from streams.orders import context as its

PROJECTION = "orders"
EVENTS_PER_ORDER = 9
CHUNK = 800
FOR_EVER_MS = 10**15
BEGUN_MS = 864_000_000  # before now
STEP_MS = 20  # between two orders of a partition
FIRST = 20_000  # records that are projected one by one; it would take an hour for a million


def measure(settings: Settings, events: int, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Make the log, then take the three rates in turns. Raises Unusable if any of them makes other rows than the others."""
    count = asyncio.run(make_log(settings, events))
    say(f"{count} events of {count // EVENTS_PER_ORDER} orders are in the log")
    results: list[dict[str, float]] = []
    for number in range(rounds):
        slow = _apart(settings, "one", min(FIRST, count))
        unsynced = _apart(settings, "one_unsynced", min(FIRST, count))
        live = _apart(settings, "live", count)
        begun = time.perf_counter()
        done = asyncio.run(rebuild(settings, mesh, mesh.projection(PROJECTION), _stage()))
        took = time.perf_counter() - begun
        if done.differences is None or done.differences or not done.swapped:
            raise Unusable(f"what was rebuilt is not what was projected live: {done.differences}")
        rates = {"one_by_one": slow, "one_by_one_unsynced": unsynced, "live": live, "rebuilt": count / took}
        results.append(rates)
        say(
            f"round {number + 1}: one by one {slow:,.0f}/s ({unsynced:,.0f}/s if no commit waits for the disk); "
            f"live {live:,.0f}/s, {live / slow:.0f} times; "
            f"rebuilt, compared and swapped {count / took:,.0f}/s, {count / took / slow:.0f} times"
        )
    asyncio.run(_check(settings))
    result: dict[str, Any] = {"events": count, "rounds": rounds}
    for name in ("live", "rebuilt"):
        ratios = sorted(rates[name] / rates["one_by_one"] for rates in results)
        result |= {f"{name}_times": median(ratios), f"{name}_times_min": ratios[0], f"{name}_times_max": ratios[-1]}
    say(
        f"median of {rounds} rounds: live {result['live_times']:.0f} times ({result['live_times_min']:.0f} to {result['live_times_max']:.0f}), "
        f"rebuilt {result['rebuilt_times']:.0f} times ({result['rebuilt_times_min']:.0f} to {result['rebuilt_times_max']:.0f}) one by one"
    )
    return result


async def make_log(settings: Settings, events: int) -> int:
    """A log that the orders context decided, appended as it appends; returns its length.

    Nobody has posted what it decides: at its end it says that commands are read from their topic's beginning.
    """
    context, servers = its.context, address(settings, "kafka")
    (topic_id,) = reading.topic_ids(servers, [context.commands_topic]).values()
    producer = Producer(servers, "bench")
    try:
        lengths = [
            await _partition(producer, context, number, settings.partitions, events, topic_id)
            for number in range(settings.partitions)
        ]
    finally:
        await producer.stop()
    return sum(lengths)


async def _partition(
    producer: Producer, context: Context, number: int, partitions: int, events: int, topic_id: str
) -> int:
    aggregates = Aggregates(context, mesh.codec, number, partitions, FOR_EVER_MS)
    commands = _commands(number, partitions, events // EVENTS_PER_ORDER // partitions)
    while batch := list(itertools.islice(commands, CHUNK)):
        await work.append(producer, aggregates, batch)
    place, end = (context.events_topic, number), aggregates.next_offset
    resumed = Resumed(topic_id=topic_id, cursor=0, reason="this log was made")
    record = resumption(mesh.codec, context.name, place, Way.COMMANDS, resumed, end, aggregates.timestamp)
    await producer.append(*place, [record])
    return end + 1


def _commands(number: int, partitions: int, orders: int) -> Iterator[Read]:
    codec = mesh.codec
    begun = int(time.time() * 1000) - BEGUN_MS
    mine = (i for i in itertools.count() if partition_of(work.order_id(i).encode(), partitions) == number)
    offset = 0
    for turn, i in enumerate(itertools.islice(mine, orders)):
        place = work.order(i)
        order_id = place.order_id
        steps = [
            place,
            *(RecordStock(order_id=order_id, sku=line.sku, reserved=True, reason="") for line in place.lines),
            RecordPayment(order_id=order_id, outcome="authorised", reason=""),
            RecordPayment(order_id=order_id, outcome="captured", reason=""),
            ShipOrder(order_id=order_id, tracking=f"T{i}"),
            DeliverOrder(order_id=order_id),
        ]
        for step in steps:
            record = outgoing_command(codec, step, f"c/{number}/{offset}", Cause(f"r/{i}"))
            at = begun + turn * STEP_MS
            yield Read("", number, offset, at, record.key, record.value, record.headers)
            offset += 1


def _apart(settings: Settings, how: str, records: int) -> float:
    """Records a second, measured in a process of its own."""
    command = [sys.executable, "-m", "infra.shop.bench.rebuild", how, str(records)]
    env = {**os.environ, **environment(settings)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, env=env)
    if done.returncode:
        raise Unusable(f"{how} did not finish: {done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


async def project(settings: Settings, how: str, records: int) -> float:
    """Empty the tables and fill them again, live, one by one, or one by one with commits that wait for no disk; records a second."""
    projection = mesh.projection(PROJECTION)
    servers, url = address(settings, "kafka"), address(settings, "postgres")
    async with postgres.connection(url) as owner, owner.transaction():
        await owner.execute(f"TRUNCATE {projection.schema}.{projection.name}, {projection.schema}.cursor")
    with reading.opened(settings) as client:
        async with postgres.connection(as_role(url, projection.role)) as db:
            store, fold = Store(db, projection), Fold(projection, mesh.codec)
            positions, topic_ids = projector.start(
                client, servers, projection, mesh.topics_of(projection), await store.load()
            )
            reading.assign(client, positions)
            begun = time.perf_counter()
            if how == "live":
                following = asyncio.create_task(
                    projector.follow(client, store, fold, topic_ids, partial(asyncio.sleep, 0))
                )
                await _until_read(settings, projection, records)
                took = time.perf_counter() - begun
                following.cancel()
                await asyncio.wait([following])
                return records / took
            if how == "one":
                await db.execute("SET synchronous_commit = on")  # as it is by default
            done = await _one_by_one(client, db, projection, records)
            return done / (time.perf_counter() - begun)


async def _one_by_one(client: Any, db: Any, projection: Projection, records: int) -> int:
    """The projector everybody writes first: a statement for the row, one for the new row, one for the position, a commit."""
    fold, table, columns = Fold(projection, mesh.codec), f"{projection.schema}.{projection.name}", projection.columns
    select = await db.prepare(f"SELECT {', '.join(columns)} FROM {table} WHERE {projection.key} = $1")
    upsert = await db.prepare(
        f"INSERT INTO {table} VALUES ({', '.join(f'${i + 1}' for i in range(len(columns)))}) ON CONFLICT ({projection.key}) "
        f"DO UPDATE SET {', '.join(f'{c} = EXCLUDED.{c}' for c in columns[1:])}"
    )
    moved = await db.prepare(
        f"INSERT INTO {projection.schema}.cursor VALUES ($1, $2, '', $3, $3) "
        "ON CONFLICT (topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset"
    )
    done = 0
    while done < records:
        for record in reading.poll(client, 500, 5.0)[0]:
            for row_id, event, m in fold.facts([record]):
                async with db.transaction():
                    stored_row = await select.fetchrow(row_id)
                    row = projection.project(projection.row(**dict(stored_row)) if stored_row else None, event, m)
                    await upsert.fetch(*row.__dict__.values())
                    await moved.fetch(record.topic, record.partition, record.offset + 1)
            done += 1
    return done


async def _until_read(settings: Settings, projection: Projection, records: int) -> None:
    async with postgres.connection(address(settings, "postgres")) as db:
        while sum(offset for _, offset in (await tables.position(db, projection.schema)).values()) < records:
            await asyncio.sleep(0.02)


async def _check(settings: Settings) -> None:
    """The rows are what the log gives one record at a time."""
    projection = mesh.projection(PROJECTION)
    with reading.opened(settings) as client, Anew(projection, mesh.codec, client, room(settings, 1)) as anew:
        anew.fold_to(reading.ends(client, reading.partitions_of(client, mesh.topics_of(projection))))
        async with postgres.connection(address(settings, "postgres")) as db, db.transaction():
            await tables.create(db, projection, "checked")
            await tables.copy(db, projection, "checked", (row for _, row in anew.rows()))
            differences = await compare(db, projection, projection.schema, "checked")
    if differences:
        raise Unusable(f"the rows are not what the log says: {list(differences.lines())}")


def _stage() -> Stage:
    return Stage(lambda text: None, lambda what, done, total: None, lambda: False, lambda p, d: False)


if __name__ == "__main__":
    tune()
    print(json.dumps(asyncio.run(project(Settings(), sys.argv[1], int(sys.argv[2])))))
