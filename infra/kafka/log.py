"""The log as the writer sees it: a small port, and Kafka behind it.

One append is one RecordBatch, so the records of a command are never torn, and the broker answers with its base offset.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import stamina
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from infra.errors import Unknown
from infra.kafka import lean
from infra.kafka.loss import check_beginning
from infra.wire.limits import MAX_BATCH_BYTES
from infra.wire.record import Outgoing, Record, partition_of

APPEND_TIMEOUT = 15.0
READ_TIMEOUT = 15.0
TURNS = 3  # of the event loop, that aiokafka's fetcher needs to ask for more


class EventLog(Protocol):
    """One context's events topic. Every method raises Unknown when the log cannot be reached or did not answer."""

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """The next offset of each partition; LogDamaged if one does not start at 0."""
        ...

    def read(self, partition: int, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """The records from `start` up to `end`, in batches."""
        ...

    async def append(self, partition: int, records: Sequence[Outgoing]) -> int:
        """Append all records as one batch; returns the offset the first one landed at. Unknown means: perhaps."""
        ...


class CommandSink(Protocol):
    """Where this process posts records that have no expected offset: commands and dead letters."""

    async def send(self, topic: str, records: Iterable[tuple[int, Outgoing]]) -> None:
        """Write (partition, record) pairs and wait until all are acknowledged; raises Unknown."""
        ...


class KafkaEventLog:
    """An events topic on Kafka."""

    def __init__(self, topic: str, producer: "Producer", reader: AIOKafkaConsumer) -> None:
        self._topic = topic
        self._producer = producer
        self._reader = reader
        self._reading = asyncio.Lock()

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        wanted = [TopicPartition(self._topic, p) for p in partitions]
        with _unknown_if_unreachable("the log's ends"):
            async with asyncio.timeout(READ_TIMEOUT):
                starts, ends = await asyncio.gather(
                    self._reader.beginning_offsets(wanted), self._reader.end_offsets(wanted)
                )
        for tp, start in starts.items():
            check_beginning(tp.topic, tp.partition, start)
        return {tp.partition: end for tp, end in ends.items()}

    async def read(self, partition: int, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        tp = TopicPartition(self._topic, partition)
        async with self._reading:
            self._reader.assign([tp])
            self._reader.seek(tp, start)
            position = start
            while position < end:
                with _unknown_if_unreachable(f"{self._topic}/{partition} at {position}"):
                    async with asyncio.timeout(READ_TIMEOUT):
                        batches = await self._reader.getmany(tp, timeout_ms=1000)
                for _ in range(TURNS):  # the next fetch is sent, and the broker at work, while these are folded
                    await asyncio.sleep(0)
                for records in batches.values():
                    yield records
                position = await self._reader.position(tp)  # behind marks of transactions too, which are no records

    async def append(self, partition: int, records: Sequence[Outgoing]) -> int:
        return await self._producer.append(self._topic, partition, records)


class Producer:
    """Appends batches, and makes itself anew after an error, so that nothing of a broken connection lingers."""

    def __init__(self, servers: str, client_id: str) -> None:
        self._servers = servers
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def append(self, topic: str, partition: int, records: Sequence[Outgoing]) -> int:
        producer = await self._ready()
        batch = producer.create_batch()
        for record in records:
            if (
                batch.append(
                    key=record.key, value=record.value, timestamp=record.timestamp, headers=list(record.headers)
                )
                is None
            ):
                raise AssertionError(
                    f"a batch for {topic} is over {MAX_BATCH_BYTES} bytes; Outgoing.size() is no upper bound"
                )
        try:
            with _unknown_if_unreachable(f"{topic}/{partition}"):
                async with asyncio.timeout(APPEND_TIMEOUT):
                    metadata = await (await producer.send_batch(batch, topic, partition=partition))
            return int(metadata.offset)
        except Unknown:
            await self._discard(producer)
            raise

    async def send(self, topic: str, records: Iterable[tuple[int, Outgoing]]) -> None:
        by_partition: dict[int, list[Outgoing]] = {}
        for partition, record in records:
            by_partition.setdefault(partition, []).append(record)
        await asyncio.gather(*(self._append_in_order(topic, p, part) for p, part in by_partition.items()))

    async def _append_in_order(self, topic: str, partition: int, records: list[Outgoing]) -> None:
        """Never the later before the earlier: what is asked of one aggregate stays in order also when a part fails."""
        for chunk in _chunks(records):
            await self.append(topic, partition, chunk)

    async def stop(self) -> None:
        async with self._starting:
            if self._producer is not None:
                await _stop_quietly(self._producer)
                self._producer = None

    async def _ready(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._servers,
                    client_id=self._client_id,
                    acks="all",
                    max_batch_size=2 * MAX_BATCH_BYTES,
                    max_request_size=4 * MAX_BATCH_BYTES,
                    request_timeout_ms=int(APPEND_TIMEOUT * 1000),
                )
                with _unknown_if_unreachable(self._servers):
                    try:
                        async with asyncio.timeout(APPEND_TIMEOUT):
                            await producer.start()
                    except BaseException:
                        await _stop_quietly(producer)
                        raise
                self._producer = producer
            return self._producer

    async def _discard(self, broken: AIOKafkaProducer) -> None:
        async with self._starting:
            if self._producer is broken:
                self._producer = None
        await _stop_quietly(broken)


@asynccontextmanager
async def connected(servers: str, context: str) -> AsyncIterator[tuple[Producer, AIOKafkaConsumer]]:
    """A producer and a consumer without a group, for one process of `context`; waits for the broker."""
    lean.install()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        client_id=f"weft-{context}",
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=2 << 20,
    )
    producer = Producer(servers, f"weft-{context}")
    try:
        await consumer.start()
        yield producer, consumer
    finally:
        await producer.stop()
        await _stop_quietly(consumer)  # its fetcher now and then overhears that it is to end (aiokafka 0.14.0)


def addressed(records: Iterable[Outgoing], partitions: int) -> list[tuple[int, Outgoing]]:
    """Each record with the partition its key belongs to."""
    return [(partition_of(record.key or b"", partitions), record) for record in records]


async def until_known(attempt: Callable[[], Awaitable[None]]) -> None:
    """Try until the outcome is known, with exponentially growing, jittered pauses of at most 10 s."""
    async for try_ in stamina.retry_context(
        on=Unknown, attempts=None, timeout=None, wait_initial=0.1, wait_max=10.0, wait_jitter=0.5
    ):
        with try_:
            await attempt()


def _chunks(records: list[Outgoing]) -> list[list[Outgoing]]:
    chunks: list[list[Outgoing]] = [[]]
    size = 0
    for record in records:
        if chunks[-1] and size + record.size() > MAX_BATCH_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(record)
        size += record.size()
    return chunks


class _unknown_if_unreachable:  # noqa: N801 (reads as a phrase)
    """Whatever a client raises when a broker is away becomes Unknown."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KafkaError | TimeoutError | OSError):
            raise Unknown(f"Kafka did not answer for {self._what}: {error!r}") from error


async def _stop_quietly(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    try:
        async with asyncio.timeout(2):
            await client.stop()
    except (KafkaError, TimeoutError, OSError):
        pass
