"""python -m infra.shop.bench.plain SUFFIX COUNT: the same work as Faust's documentation has it, an agent with a Table.

The same codec, decider and events; the state is in a Table with its changelog, the event goes out with `Topic.send`.
No headers, no command ids, no rule: less than Weft does.
"""

import asyncio
import json
import pickle
import sys
from typing import Any

import faust

from infra.messages import Refused
from infra.settings import Settings, address
from infra.shop.bench.work import PARTITIONS, Clock
from infra.shop.mesh import mesh
from streams.orders import context as its


def build(suffix: str, settings: Settings, done: list[int]) -> faust.App:
    app = faust.App(
        f"plain-{suffix}",
        broker=f"kafka://{address(settings, 'kafka')}",
        store="memory://",
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        producer_linger=5,
        stream_wait_empty=False,
        datadir=str(settings.home / "plain"),
    )
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    commands, events = app.topic(f"plain-{suffix}.commands", **raw), app.topic(f"plain-{suffix}.events", **raw)
    table = app.Table(
        "orders", default=None, partitions=PARTITIONS, use_partitioner=True, key_type=bytes, value_type=bytes
    )
    (orders,), codec = its.context.aggregates, mesh.codec

    @app.agent(commands)
    async def decide(stream: Any) -> None:
        async for record in stream.events():
            key = record.message.key
            stored = table.get(key)
            state = pickle.loads(stored) if stored else orders.initial  # noqa: S301 (our own changelog)
            for event in orders.decide(codec.decode(record.value), state):
                if type(event) is not Refused:
                    state = orders.evolve(state, event)
                await events.send(key=key, value=codec.encode(event), partition=record.message.partition)
            table[key] = pickle.dumps(state)
            done[0] += 1

    return app


async def main(suffix: str, count: int) -> None:
    clock, done = Clock(count), [0]
    app = build(suffix, Settings(), done)
    starting = asyncio.create_task(app.start())
    while clock.finished is None:
        await asyncio.sleep(0.005)
        clock.at(done[0])
    print(json.dumps(clock.finished), flush=True)
    starting.cancel()
    async with asyncio.timeout(30):
        await app.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
