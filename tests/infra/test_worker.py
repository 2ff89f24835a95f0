"""Which partitions of a log are a process's, however its command topics were given out."""

import pytest

from infra.write.host.worker import numbers

ASKED, OWN = "orders.commands", "orders.own"


@pytest.mark.parametrize(
    ("asked", "own", "counts", "found"),
    [
        ({0, 1}, {0, 1}, {}, {0, 1}),
        (set(), {2, 3}, {OWN: 4}, {2, 3}),  # the other one is gone
        (set(range(8)), set(range(4)), {ASKED: 8, OWN: 4}, {0, 1, 2, 3}),  # made anew with more
        ({0}, {0, 1, 2, 3}, {ASKED: 1, OWN: 4}, {0, 1, 2, 3}),  # or fewer
        ({0, 1}, {0}, {ASKED: 8, OWN: 4}, {0}),  # of several processes each has its own
        ({3}, set(), {ASKED: 8, OWN: 4}, set()),  # this one has none
        ({0, 1, 2, 3}, {0, 1}, {ASKED: 4, OWN: 4}, {0, 1}),  # it fits again, and nobody has heard of it
        ({0, 1, 6}, {0}, {ASKED: 8, OWN: 2}, {0, 1}),  # neither does
        ({0, 1, 6}, {0, 1, 6}, {}, {0, 1}),  # both alike
        (set(), {0, 1}, {}, set()),  # both are gone by now
    ],
)
def test_each_partition_of_a_log_is_one_process_s(
    asked: set[int], own: set[int], counts: dict[str, int], found: set[int]
) -> None:
    assert numbers({ASKED: asked, OWN: own}, counts, 4) == found
