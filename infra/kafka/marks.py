"""Where a log has offsets without records: whether marks of transactions stand there, which no client shows anybody.

https://kafka.apache.org/documentation/#controlbatch
"""

import asyncio

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, LeaderNotAvailableError, for_code
from aiokafka.protocol.fetch import FetchRequest

from infra.errors import Unknown
from infra.kafka.reading import TIMEOUT, Place
from infra.kafka.unpacking import Batches

FETCHED_BYTES = 1 << 20


def are_marks(servers: str, place: Place, start: int, end: int) -> bool:
    """Whether nothing but marks stands from `start` up to `end`; Unknown if Kafka does not say."""
    try:
        return asyncio.run(_are_marks(servers, place, start, end))
    except (KafkaError, TimeoutError, OSError) as error:
        raise Unknown(f"Kafka did not answer for {place[0]}/{place[1]} at {start}: {error!r}") from error


async def _are_marks(servers: str, place: Place, start: int, end: int) -> bool:
    client = AIOKafkaClient(bootstrap_servers=servers)
    try:
        async with asyncio.timeout(TIMEOUT):
            await client.bootstrap()
            await client.set_topics([place[0]])
            leader = client.cluster.leader_for_partition(TopicPartition(*place))
            if leader is None or leader < 0:
                raise LeaderNotAvailableError(*place)
            position = start
            while position < end:
                batches = await _fetched(client, leader, place, position)
                if not batches.has_next():
                    return False
                while position < end and batches.has_next():
                    batch = batches.next_batch()
                    if not batch.is_control_batch or batch.base_offset > position:
                        return False
                    position = batch.next_offset
            return True
    finally:
        await client.close()


async def _fetched(client: AIOKafkaClient, leader: int, place: Place, position: int) -> Batches:
    topic, partition = place
    request = FetchRequest(100, 1, FETCHED_BYTES, 0, [(topic, [(partition, position, FETCHED_BYTES)])])
    answer = await client.send(leader, request)
    ((_, ((_, code, _, *data),)),) = answer.topics
    if code:
        raise for_code(code)(f"{topic}/{partition}")
    return Batches(data[-1] or b"")
