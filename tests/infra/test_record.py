import pytest
from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from infra.wire.record import Outgoing, murmur2, partition_of


# org.apache.kafka.common.utils.UtilsTest.testMurmur2, as unsigned numbers
@pytest.mark.parametrize(
    ("key", "expected"),
    [(b"21", -973932308), (b"foobar", -790332482), (b"a-little-bit-long-string", -985981536), (b"abc", 479470107)],
)
def test_murmur2_is_javas(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF


@given(st.binary(max_size=64))
def test_partitions_are_those_of_other_clients(key: bytes) -> None:
    assert partition_of(key, 7) == (reference(key) & 0x7FFFFFFF) % 7


@given(
    st.binary(max_size=50),
    st.binary(max_size=500),
    st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=50)), max_size=8),
)
def test_the_size_of_a_record_is_an_upper_bound(key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
    from aiokafka.record.default_records import DefaultRecordBatchBuilder

    record = Outgoing(key, value, headers)
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=0,
        batch_size=1 << 20,
    )
    before = builder.size()
    builder.append(0, 0, key, value, headers)
    assert builder.size() - before <= record.size()
