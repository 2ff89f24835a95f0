"""What is asked by records that came in transactions: as their producer ended them, as far as they have ended."""

import asyncio
import struct

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from infra.kafka.marks import Settled, _settled
from infra.kafka.memory import MemoryCommandTopics, MemoryKafka
from infra.kafka.unpacking import Batches
from infra.wire.record import InTransaction, Outgoing, Record
from infra.write import transactions
from infra.write.transactions import asked

PLACE = ("counter.commands", 0)
ONE, OTHER = 7, 8  # producers
CONTROL = 0b110000


@pytest.fixture
def kafka() -> MemoryKafka:
    return MemoryKafka(1, lambda: 0, lambda topic: False)


def record(name: str) -> Outgoing:
    return Outgoing(b"c1", name.encode(), [])


async def heard(kafka: MemoryKafka, into: list[list[bytes]]) -> None:
    records = [r for r in kafka.log(*PLACE) if r.key]
    async for portion in asked(MemoryCommandTopics(kafka), records):
        into.append([r.value or b"" for r in portion])


async def test_what_is_in_no_transaction_waits_for_nobody(kafka: MemoryKafka) -> None:
    kafka.append(*PLACE, [record("a"), record("b")])
    found: list[list[bytes]] = []
    await heard(kafka, found)
    assert found == [[b"a", b"b"]]


async def test_what_was_aborted_was_not_asked(kafka: MemoryKafka) -> None:
    for name, is_aborted in (("a", True), ("b", False)):
        kafka.end(PLACE, kafka.begin(PLACE, [record(name)]), is_aborted=is_aborted)
    found: list[list[bytes]] = []
    await heard(kafka, found)
    assert found == [[b"b"]]


async def test_what_is_behind_an_open_one_waits_until_that_has_ended_and_what_is_in_front_does_not(
    kafka: MemoryKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "AGAIN_S", 0.01)
    # given one that is open, between others
    kafka.append(*PLACE, [record("a")])
    open_ = kafka.begin(PLACE, [record("b")])
    kafka.append(*PLACE, [record("c")])
    found: list[list[bytes]] = []
    hearing = asyncio.create_task(heard(kafka, found))
    await asyncio.sleep(0.05)
    assert found == [[b"a"]]
    # when it is committed
    kafka.end(PLACE, open_, is_aborted=False)
    await hearing
    assert found == [[b"a"], [b"b", b"c"]]


# -- what a broker says


def batch(offset: int, *values: bytes, producer: int = -1, control: bool = False) -> bytes:
    is_transactional = int(producer >= 0)
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional, producer_id=producer, producer_epoch=0, base_sequence=0, batch_size=1 << 16
    )
    for number, value in enumerate(values):
        builder.append(number, timestamp=0, key=b"k", value=value, headers=[])
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, offset)
    if control:
        struct.pack_into(">h", raw, 21, CONTROL)
    return bytes(raw)


async def settled(start: int, end: int, batches: list[bytes], aborted: list[tuple[int, int]]) -> Settled:
    """What is settled where the broker answers with these batches once, and then with nothing."""
    answers = [(Batches(b"".join(batches)), aborted), (Batches(b""), [])]

    async def fetch(position: int, isolation: int) -> tuple[Batches, list[tuple[int, int]]]:
        assert isolation == 1
        return answers.pop(0)

    return await _settled(fetch, start, end)


LOG = [
    batch(0, b"plain"),
    batch(1, b"a", b"b", producer=ONE),
    batch(3, b"c", producer=OTHER),
    batch(4, b"abort", producer=ONE, control=True),
    batch(5, b"d", producer=ONE),
    batch(6, b"commit", producer=OTHER, control=True),
    batch(7, b"commit", producer=ONE, control=True),
]


async def test_an_aborted_transaction_is_all_its_producer_wrote_up_to_its_mark() -> None:
    assert await settled(0, 8, LOG, [(ONE, 1)]) == Settled(8, frozenset({1, 2}))


async def test_also_for_who_asks_from_its_middle_on() -> None:
    assert await settled(2, 4, LOG[1:], [(ONE, 1)]) == Settled(8, frozenset({2}))


async def test_nothing_is_settled_behind_an_open_one() -> None:
    assert await settled(0, 8, LOG[:1], []) == Settled(1)


def test_a_record_says_that_it_came_in_a_transaction() -> None:
    made = InTransaction("t", 0, 1, 0, b"k", b"v", ())
    other: Record = made._replace(offset=2)
    assert isinstance(other, InTransaction)
