"""Which partitions of a log are a process's, however its command topics were given out; and what is fetched of them."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from infra.write.host.worker import FULL, ROOM, Stalled, Worker, numbers
from infra.write.lanes import Lanes

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


class Stream:
    """So many batches of each of these partitions, in turn."""

    def __init__(self, *places: TP, batches: int) -> None:
        self._places = places * batches

    def noack(self) -> "Stream":
        return self

    async def events(self) -> AsyncIterator[Any]:
        for tp in self._places:
            yield SimpleNamespace(message=SimpleNamespace(tp=tp, generation_id=0), value=Records(0), ack=lambda: None)


class Records(list[Any]):
    def __init__(self, reading: int) -> None:
        super().__init__(["a record"])
        self.reading = reading


async def test_a_partition_that_stands_still_holds_up_no_other_of_its_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a partition of which nothing can be decided, and another one
    still, other = TP(ASKED, 0), TP(ASKED, 1)
    done, goes_on, held = list[int](), asyncio.Event(), set[TP]()

    async def handle(number: int) -> None:
        if number == still.partition:
            await goes_on.wait()
        done.append(number)

    lanes = Lanes(lambda place: lambda records: handle(place[1]), lambda error: None)
    lanes.open()
    worker = object.__new__(Worker)
    worker.owner = SimpleNamespace(lanes=lanes)  # type: ignore[assignment]
    consumer = SimpleNamespace(hold=held.add, go_on=held.discard)
    monkeypatch.setattr(Worker, "_consumer", consumer)
    monkeypatch.setattr(Worker, "_is_current", lambda *_: True)
    # when more comes of both than may wait
    async with asyncio.timeout(1):
        await worker._receive(Stream(still, other, batches=2 * FULL))
    # then no more is fetched of the one, and all of the other is handled
    while len(done) < 2 * FULL:
        await asyncio.sleep(0)
    assert held == {still} and set(done) == {other.partition}
    # and when it goes on, it is fetched again as soon as there is room
    goes_on.set()
    while held:
        await asyncio.sleep(0)
    assert lanes.depth(still[:2]) <= ROOM
    await lanes.close()


async def test_who_is_given_partitions_and_does_not_read_them_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a group that gave out partitions, and Faust that has taken an error for another rebalance
    monkeypatch.setattr("infra.write.host.worker.STALLED_S", 0.3)
    worker = object.__new__(Worker)
    worker.owner = SimpleNamespace(context=SimpleNamespace(name="orders"))  # type: ignore[assignment]
    worker.app = SimpleNamespace(rebalancing=True, should_stop=False, start=lambda: asyncio.sleep(0))  # type: ignore[assignment]
    # while its log is folded, for as long as that takes, nothing is wrong
    worker._is_at_barrier = True
    watching = asyncio.create_task(worker.watch())
    await asyncio.sleep(0.6)
    assert not watching.done()
    # when nothing comes of it, then that is an error
    worker._is_at_barrier = False
    async with asyncio.timeout(5):
        with pytest.raises(Stalled, match="orders was given partitions"):
            await watching
