"""The partitions of many keys are those of each."""

import random

import pytest

from infra.wire.murmur import FEW, partitions_of
from infra.wire.record import partition_of


@pytest.mark.parametrize("partitions", [1, 4, 7])
@pytest.mark.parametrize("lengths", [[0], [1], [3], [4], [36], [37], [39], [1, 2, 3, 4, 5, 6, 7, 8, 9], [0, 1000]])
def test_many_keys_go_where_each_goes(lengths: list[int], partitions: int) -> None:
    dice = random.Random(str(lengths))
    keys = [dice.randbytes(length) for _ in range(4 * FEW) for length in lengths]
    dice.shuffle(keys)
    assert partitions_of(keys, partitions) == [partition_of(key, partitions) for key in keys]


def test_few_keys_and_none() -> None:
    assert partitions_of([], 4) == []
    assert partitions_of([b"a", b"b"], 4) == [partition_of(b"a", 4), partition_of(b"b", 4)]
