"""What is measured: N PlaceOrder commands, three lines each, for distinct orders on four partitions."""

import time
from dataclasses import replace

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from commands.orders import PlaceOrder
from infra.kafka.log import Producer as Appender
from infra.model.context import Context
from infra.shop.mesh import mesh
from infra.wire.envelope import Cause, Way, command_headers
from infra.wire.record import Read, partition_of
from infra.write.aggregates import Aggregates
from infra.write.decision import CommandHandler
from schemas.orders import OrderLine
from streams.orders import context as its

PARTITIONS = 4
# A log begins with records of no time: Kafka would take them for old ones within half a minute.
KEPT = {"retention.ms": "-1"}


def context(suffix: str, of: Context = its.context) -> Context:
    """A context, orders if none is named, on topics of its own, and deaf: only its commands are measured."""
    return replace(of, name=f"bench-{suffix}", react=None, hears=())


def create(servers: str, topics: list[str], partitions: int = PARTITIONS) -> None:
    with AdminClient({"bootstrap.servers": servers, "log_level": 0}) as admin:
        for future in admin.create_topics([NewTopic(topic, partitions, 1, config=KEPT) for topic in topics]).values():
            future.result(30)


def order_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def order(number: int) -> PlaceOrder:
    """The command of that number."""
    lines = tuple(OrderLine(sku=f"SKU-{i:05d}", quantity=i + 1, unit_price_minor=995) for i in range(3))
    return PlaceOrder(
        order_id=order_id(number),
        customer_id=f"customer-{number % 997}",
        card="card_ok",
        currency="EUR",
        lines=lines,
    )


def load(servers: str, topic: str, count: int) -> None:
    """Post the commands, all of them before anything is measured."""
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "linger.ms": 20,
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    codec = mesh.codec
    for number in range(count):
        command = order(number)
        key = command.order_id.encode()
        headers = command_headers(codec.names[PlaceOrder], f"c-{number:012d}", Cause(f"r-{number:012d}"))
        producer.produce(topic, codec.encode(command), key, partition_of(key, PARTITIONS), headers=list(headers))
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush()


async def append(appender: Appender, aggregates: Aggregates, commands: list[Read]) -> None:
    """Decide these and append what follows, as a writer does whom nobody disturbs; all may come by one way."""
    handler, start = CommandHandler(aggregates, dict.fromkeys(Way, aggregates.context.commands)), 0
    while start < len(commands):
        decision = handler.decide(handler.read(commands, start))
        await appender.append(aggregates.context.events_topic, aggregates.number, decision.records)
        aggregates.merge(decision)
        start = decision.next


class Clock:
    """Rate and CPU time from the first result seen to the last; call `at(done)` often."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._start: tuple[int, float, float] | None = None
        self.finished: dict[str, float] | None = None

    def at(self, done: int) -> None:
        now, cpu = time.perf_counter(), time.process_time()
        if self._start is None and done:
            self._start = (done, now, cpu)
        elif self._start and done >= self._count and self.finished is None:
            first, began, cpu_began = self._start
            counted = done - first
            self.finished = {"per_second": counted / (now - began), "cpu_us": (cpu - cpu_began) / counted * 1e6}
