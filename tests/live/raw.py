"""What no well-behaved producer can be made to write: a batch byte by byte, and one that unpacks to very much."""

import asyncio
import struct

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from confluent_kafka import Producer

from infra.wire.record import Outgoing

STAND_IN = "zz"  # for a header's name, in a record; as long as what is written instead
NO_TEXT = b"\xff\xfe"


def post_with_a_name_that_is_no_text(servers: str, topic: str, partition: int, record: Outgoing) -> int:
    """Write a record whose header STAND_IN is called NO_TEXT; its offset."""
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=1 << 20
    )
    headers = [(name, value or b"") for name, value in record.headers]
    builder.append(0, timestamp=0, key=record.key, value=record.value, headers=headers)
    raw = bytes(builder.build()).replace(STAND_IN.encode(), NO_TEXT)
    return asyncio.run(_post(servers, topic, partition, raw[:17] + struct.pack(">I", calc_crc32c(raw[21:])) + raw[21:]))


async def _post(servers: str, topic: str, partition: int, batch: bytes) -> int:
    client = AIOKafkaClient(bootstrap_servers=servers)
    await client.bootstrap()
    try:
        request = ProduceRequest(
            transactional_id=None, required_acks=-1, timeout=20_000, topics=[(topic, [(partition, batch)])]
        )
        answer = await client.send(client.get_random_node(), request)
        ((_, ((_, code, offset, *_),)),) = answer.topics
        assert code == 0, f"Kafka refuses it with error {code}"
        return int(offset)
    finally:
        await client.close()


def post_what_unpacks_to(servers: str, topic: str, partition: int, record: Outgoing, size: int) -> None:
    """Write a record with a value of so many bytes, which is small as it is sent."""
    producer = Producer(
        {"bootstrap.servers": servers, "compression.type": "zstd", "message.max.bytes": 2 * size + 1_000_000}
    )
    value = b'{"reason":"' + b"x" * size + b'"}'
    producer.produce(topic, value, record.key, partition, headers=list(record.headers))
    assert producer.flush(60) == 0
