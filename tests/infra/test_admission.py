"""When strangers' commands are let in, and how many."""

import asyncio

from infra.wire.record import Read
from infra.write.admission import ENOUGH, FIRST, LEAST, MORE, PATIENCE_S, Admission
from infra.write.lanes import RECENT_S, Delivery, Lanes

MANY = 1_000_000


async def turns(admission: Admission, count: int) -> list[int]:
    """How many were let in each turn, by who always wants more."""
    return [await admission.admit(MANY) for _ in range(count)]


async def test_twice_as_many_are_let_in_each_turn_while_they_lead_to_nothing() -> None:
    assert await turns(Admission(), 4) == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]


async def test_some_more_are_let_in_each_turn_while_they_lead_to_something() -> None:
    admission = Admission()
    admission.heed(lambda: 1)
    assert await turns(admission, 3) == [FIRST, FIRST + MORE, FIRST + 2 * MORE]


async def test_who_wants_fewer_leaves_the_rest_to_others_of_the_same_turn() -> None:
    admission = Admission()
    assert [await admission.admit(FIRST - 1), await admission.admit(MANY)] == [FIRST - 1, 1]


async def test_they_wait_while_there_is_too_much_of_what_was_begun_and_then_fewer_are_let_in() -> None:
    # given many that are let in at once
    admission, begun = Admission(), [0]
    admission.heed(lambda: begun[0])
    before = (await turns(admission, 4))[-1]
    # when more was begun than may wait
    begun[0] = ENOUGH + 1
    waiting = asyncio.create_task(admission.admit(MANY))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    begun[0] = ENOUGH
    # then half as many are let in
    assert await waiting == before // 2


async def test_they_do_not_wait_for_ever() -> None:
    admission = Admission()
    admission.heed(lambda: ENOUGH + 1)
    async with asyncio.timeout(10 * PATIENCE_S):
        assert (await turns(admission, 4))[-1] == LEAST


async def test_who_asks_first_is_let_in_first() -> None:
    # given a process that is at what it has begun
    admission = Admission()
    admission.heed(lambda: ENOUGH + 1)
    # when one partition after another asks, the first of them again and again
    order: list[str] = []

    async def ask(name: str, times: int) -> None:
        for _ in range(times):
            await admission.admit(MANY)
            order.append(name)

    await asyncio.gather(ask("first", 2), ask("second", 1), ask("third", 1))
    # then the others have their turn before it has another
    assert order == ["first", "second", "third", "first"]


async def test_what_contexts_of_a_process_have_begun_counts_together() -> None:
    admission = Admission()
    admission.heed(lambda: ENOUGH)
    admission.heed(lambda: 1)
    begun = asyncio.get_running_loop().time()
    await admission.admit(1)
    assert asyncio.get_running_loop().time() - begun >= PATIENCE_S


async def test_what_waits_in_lanes_is_counted_until_it_is_handled() -> None:
    # given a lane whose first batch is being handled, and one that is not asked about
    go_on = asyncio.Event()

    async def handle(records: object) -> None:
        await go_on.wait()

    lanes = Lanes(lambda place: handle, lambda error: None, lambda: 0)
    lanes.open()
    record = Read("own", 0, 0, 0, None, None, ())
    for topic, count in (("own", 2), ("own", 3), ("commands", 4)):
        lanes.put((topic, 0), Delivery([record] * count, lambda: True, lambda: None))
    await asyncio.sleep(0)
    assert lanes.waiting(besides="commands") == 5
    # when all is handled
    go_on.set()
    await asyncio.sleep(0.01)
    assert lanes.waiting(besides="commands") == 0
    await lanes.close()


async def test_what_is_long_past_is_history_for_which_nobody_waits() -> None:
    # given two topics of which nothing is handled
    async def handle(records: object) -> None:
        await asyncio.Event().wait()

    now = RECENT_S + 1
    lanes = Lanes(lambda place: handle, lambda error: None, lambda: now)
    lanes.open()
    # when one brings what is as old as can be, and one what came just now
    for topic, count, at in (("heard", 1000, 0), ("own", 3, now * 1000)):
        lanes.put((topic, 0), Delivery([Read(topic, 0, 0, int(at), None, None, ())] * count, lambda: True, print))
    # then what came just now is waited for
    assert lanes.waiting(besides="commands") == 3
    await lanes.close()
