"""A reader that was there before knows when the log has lost something."""

from typing import Any

import pytest

from infra.errors import LogDamaged
from infra.kafka import reading

PLACE = ("orders.events", 0)


class Topic:
    """What a consumer says of one partition."""

    def __init__(self, low: int, high: int) -> None:
        self._marks = (low, high)

    def get_watermark_offsets(self, place: Any, timeout: float) -> tuple[int, int]:
        return self._marks


def ends(low: int, high: int, seen: int) -> dict[Any, int]:
    client: Any = Topic(low, high)
    return reading.ends(client, [PLACE], {PLACE: seen})


def test_a_log_that_goes_on_where_it_was_left_is_read() -> None:
    assert ends(0, 12, seen=10) == {PLACE: 12}


def test_a_log_that_does_not_start_at_0_has_lost_events() -> None:
    with pytest.raises(LogDamaged, match="starts at offset 3"):
        ends(3, 12, seen=10)


def test_a_log_that_ends_before_what_was_read_has_lost_events() -> None:
    with pytest.raises(LogDamaged, match="offset 9 was read before"):
        ends(0, 7, seen=10)
