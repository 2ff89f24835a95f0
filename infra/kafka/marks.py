"""What only the batches of a partition say, which no client shows anybody: marks of transactions, and what was aborted.

https://kafka.apache.org/documentation/#controlbatch
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, LeaderNotAvailableError, for_code
from aiokafka.protocol.fetch import FetchRequest

from infra.errors import Unknown
from infra.kafka.reading import TIMEOUT, Place
from infra.kafka.unpacking import Batches

FETCHED_BYTES = 1 << 20
READ_UNCOMMITTED, READ_COMMITTED = 0, 1

_T = TypeVar("_T")
Aborted = Sequence[tuple[int, int]]  # producer id, first offset
Fetch = Callable[[int, int], Awaitable[tuple[Batches, Aborted]]]


@dataclass(frozen=True)
class Settled:
    """Up to where all transactions of a partition have ended, and which of the offsets that were asked for are aborted."""

    end: int
    aborted: frozenset[int] = frozenset()


def are_marks(servers: str, place: Place, start: int, end: int) -> bool:
    """Whether nothing but marks stands from `start` up to `end`; Unknown if Kafka does not say."""
    return _asked(servers, place, start, lambda fetch: _are_marks(fetch, start, end))


def settled(servers: str, place: Place, start: int, end: int) -> Settled:
    """Which records from `start` up to `end` are aborted, as far as transactions there have ended; Unknown if Kafka does not say."""
    return _asked(servers, place, start, lambda fetch: _settled(fetch, start, end))


def _asked(servers: str, place: Place, start: int, ask: Callable[[Fetch], Awaitable[_T]]) -> _T:
    async def asking() -> _T:
        client = AIOKafkaClient(bootstrap_servers=servers)
        try:
            async with asyncio.timeout(TIMEOUT):
                await client.bootstrap()
                await client.set_topics([place[0]])
                leader = client.cluster.leader_for_partition(TopicPartition(*place))
                if leader is None or leader < 0:
                    raise LeaderNotAvailableError(*place)
                return await ask(partial(_fetched, client, leader, place))
        finally:
            await client.close()

    try:
        return asyncio.run(asking())
    except (KafkaError, TimeoutError, OSError) as error:
        raise Unknown(f"Kafka did not answer for {place[0]}/{place[1]} at {start}: {error!r}") from error


async def _are_marks(fetch: Fetch, start: int, end: int) -> bool:
    position = start
    while position < end:
        batches, _ = await fetch(position, READ_UNCOMMITTED)
        if not batches.has_next():
            return False
        while position < end and batches.has_next():
            batch = batches.next_batch()
            if not batch.is_control_batch or batch.base_offset > position:
                return False
            position = batch.next_offset
    return True


async def _settled(fetch: Fetch, start: int, end: int) -> Settled:
    """What is aborted lies between where its producer's transaction began, as Kafka says, and that producer's next mark."""
    position, found = start, set[int]()
    while position < end:
        batches, aborted = await fetch(position, READ_COMMITTED)
        begun, aborting = sorted((first, producer) for producer, first in aborted), set[int]()
        if not batches.has_next():  # it is open
            break
        while batches.has_next():
            batch = batches.next_batch()
            while begun and begun[0][0] < batch.next_offset:
                aborting.add(begun.pop(0)[1])
            if batch.is_control_batch:
                aborting.discard(batch.producer_id)
            elif batch.is_transactional and batch.producer_id in aborting:
                found.update(range(max(start, batch.base_offset), min(end, batch.next_offset)))
            position = batch.next_offset
    return Settled(position, frozenset(found))


async def _fetched(
    client: AIOKafkaClient, leader: int, place: Place, position: int, isolation: int
) -> tuple[Batches, Aborted]:
    """The batches from a position on, and of which producers transactions among them are aborted, and where these began."""
    topic, partition = place
    request = FetchRequest(100, 1, FETCHED_BYTES, isolation, [(topic, [(partition, position, FETCHED_BYTES)])])
    answer = await client.send(leader, request)
    ((_, ((_, code, _, *data),)),) = answer.topics
    if code:
        raise for_code(code)(f"{topic}/{partition}")
    aborted = data[2] if answer.API_VERSION >= 11 else data[-2]
    return Batches(data[-1] or b""), aborted or []
