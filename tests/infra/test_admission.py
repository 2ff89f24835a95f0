"""When strangers' commands are let in, and how many."""

import asyncio

from infra.wire.record import Read
from infra.write.admission import ENOUGH, LEAST, MOST, PATIENCE_S, Admission
from infra.write.lanes import Delivery, Lanes


async def test_ever_more_are_let_in_while_nothing_waits() -> None:
    admission = Admission()
    windows = [await admission.window() for _ in range(12)]
    assert windows[:3] == [LEAST, 2 * LEAST, 4 * LEAST] and windows[-1] == MOST


async def test_they_wait_while_there_is_too_much_of_what_was_begun_and_then_fewer_are_let_in() -> None:
    # given many that are let in at once
    admission, begun = Admission(), [0]
    admission.heed(lambda: begun[0])
    before = [await admission.window() for _ in range(6)][-1]
    # when more was begun than may wait
    begun[0] = ENOUGH + 1
    waiting = asyncio.create_task(admission.window())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    begun[0] = ENOUGH
    # then half as many are let in
    assert await waiting == before // 2


async def test_they_do_not_wait_for_ever() -> None:
    admission = Admission()
    admission.heed(lambda: ENOUGH + 1)
    async with asyncio.timeout(5 * PATIENCE_S):
        assert [await admission.window(), await admission.window()] == [LEAST, LEAST]


async def test_what_contexts_of_a_process_have_begun_counts_together() -> None:
    admission = Admission()
    admission.heed(lambda: ENOUGH)
    admission.heed(lambda: 1)
    begun = asyncio.get_running_loop().time()
    await admission.window()
    assert asyncio.get_running_loop().time() - begun >= PATIENCE_S


async def test_what_waits_in_lanes_is_counted_until_it_is_handled() -> None:
    # given a lane whose first batch is being handled, and one that is not asked about
    go_on = asyncio.Event()

    async def handle(records: object) -> None:
        await go_on.wait()

    lanes = Lanes(lambda place: handle, lambda error: None)
    lanes.open()
    record = Read("own", 0, 0, 0, None, None, ())
    for topic, count in (("own", 2), ("own", 3), ("commands", 4)):
        await lanes.put((topic, 0), Delivery([record] * count, lambda: True, lambda: None))
    await asyncio.sleep(0)
    assert lanes.waiting(besides="commands") == 5
    # when all is handled
    go_on.set()
    await asyncio.sleep(0.01)
    assert lanes.waiting(besides="commands") == 0
    await lanes.close()
