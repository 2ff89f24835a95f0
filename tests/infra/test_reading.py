"""A reader that was there before knows when the log has lost something."""

from typing import Any

import pytest

from infra.errors import LogDamaged
from infra.kafka import reading
from infra.wire.record import Read

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


class Message:
    """A record as a consumer has it."""

    def __init__(self, partition: int, offset: int) -> None:
        self._place = partition, offset

    def topic(self) -> str:
        return PLACE[0]

    def partition(self) -> int:
        return self._place[0]

    def offset(self) -> int:
        return self._place[1]

    def timestamp(self) -> tuple[int, int]:
        return 1, 1000 * self._place[1]

    def error(self) -> None: ...
    def key(self) -> None: ...
    def value(self) -> None: ...
    def headers(self) -> None: ...


class Log:
    """A consumer of one topic whose partitions come one after another, each with `ends` records of a second each."""

    def __init__(self, *ends: int) -> None:
        self._ends = ends
        self._waiting: list[Message] = []

    def list_topics(self, timeout: float) -> None: ...

    def assign(self, places: list[Any]) -> None:
        first = min(places, key=lambda place: place.partition)
        end = self._ends[first.partition]
        self._waiting = [Message(first.partition, n) for n in range(max(first.offset, 0), end)]

    def consume(self, most: int, timeout: float) -> list[Message]:
        records, self._waiting = self._waiting[:most], self._waiting[most:]
        return records


def test_the_age_of_what_waits_is_that_of_the_first_unread_record_of_each_partition() -> None:
    client: Any = Log(3000, 12)
    times = reading.recorded(client, {(PLACE[0], 0): 7, (PLACE[0], 1): 11})
    assert {place[1]: at.timestamp() for place, at in times.items()} == {0: 7.0, 1: 11.0}


def test_what_does_not_come_has_no_age() -> None:
    client: Any = Log(5)
    assert reading.recorded(client, {(PLACE[0], 0): 5}) == {}


def test_a_batch_of_several_partitions_is_told_apart_by_place_in_order() -> None:
    places = [("a", 0, 3), ("b", 1, 7), ("a", 0, 4), ("a", 1, 0)]
    records = [Read(topic, number, offset, 0, None, None, ()) for topic, number, offset in places]
    told = {place: [r.offset for r in here] for place, here in reading.by_place(records).items()}
    assert told == {("a", 0): [3, 4], ("b", 1): [7], ("a", 1): [0]}
