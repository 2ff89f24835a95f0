"""Lanes: in order, and nothing after a batch that was dropped."""

import asyncio
from typing import Any

import pytest

from infra.write.lanes import Delivery, Lanes


def batch_of(content: Any) -> Delivery:
    return Delivery([content], lambda: True, lambda: None)


class Work:
    """A handler that can be held up, and what it did."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.go = asyncio.Event()
        self.errors: list[BaseException] = []
        self.lanes = Lanes(lambda place: self.handle, self.errors.append)
        self.lanes.open()

    async def handle(self, records: Any) -> None:
        (batch,) = records
        await self.go.wait()
        if isinstance(batch, Exception):
            raise batch
        self.done.append(batch)

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def work() -> Any:
    work = Work()
    yield work
    await work.lanes.close()


async def test_batches_of_a_place_are_handled_in_order(work: Work) -> None:
    work.go.set()
    for batch in range(5):
        work.lanes.put(("p0", 0), batch_of(batch))
    await work.settle()
    assert work.done == [0, 1, 2, 3, 4]


async def test_one_place_does_not_wait_for_another(work: Work) -> None:
    work.lanes.put(("p0", 0), batch_of("stuck"))
    free = Work()
    work.lanes._handler_of = lambda place: free.handle
    free.go.set()
    work.lanes.put(("p1", 0), batch_of("through"))
    await work.settle()
    assert free.done == ["through"]


async def test_after_a_dropped_batch_no_later_one_is_handled(work: Work) -> None:
    work.lanes.put(("p0", 0), batch_of("dropped"))
    await work.lanes.close()
    work.go.set()
    work.lanes.put(("p0", 0), batch_of("later"))
    await work.settle()
    assert work.done == []


async def test_who_brings_more_than_is_handled_hears_how_much_waits(work: Work) -> None:
    # given a batch at which its handler is, and others behind it
    for batch in range(4):
        work.lanes.put(("p0", 0), batch_of(batch))
    await work.settle()
    assert (work.lanes.depth(("p0", 0)), work.lanes.depth(("p1", 0))) == (3, 0)
    # when they are dropped
    await work.lanes.close()
    assert work.lanes.depth(("p0", 0)) == 0


async def test_behind_the_barrier_work_goes_on(work: Work) -> None:
    await work.lanes.close()
    work.go.set()
    work.lanes.open()
    work.lanes.put(("p0", 0), batch_of("again"))
    await work.settle()
    assert work.done == ["again"]


async def test_an_error_is_told_and_stops_the_rest(work: Work) -> None:
    work.go.set()
    work.lanes.put(("p0", 0), batch_of(RuntimeError("a bug")))
    await work.settle()
    work.lanes.put(("p0", 0), batch_of("later"))
    await work.settle()
    assert [str(e) for e in work.errors] == ["a bug"]
    assert work.done == []
