"""When strangers' commands are let in, and how many."""

import asyncio
from collections.abc import Callable

from infra.wire.record import Read
from infra.write.admission import ENOUGH, FIRST, LEAST, MORE, PATIENCE_S, Admission
from infra.write.lanes import HISTORY_S, STUCK_S, Delivery, Handle, Lanes

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


def lane_of(now: Callable[[], float], handle: Handle) -> Lanes:
    lanes = Lanes(lambda place: handle, lambda error: None, now)
    lanes.open()
    return lanes


def batch(topic: str, count: int, at: float) -> Delivery:
    return Delivery([Read(topic, 0, 0, int(at * 1000), None, None, ())] * count, lambda: True, lambda: None)


async def never(records: object) -> None:
    await asyncio.Event().wait()


async def test_for_history_that_somebody_new_hears_nobody_waits() -> None:
    # given lanes that are opened now
    lanes = lane_of(lambda: 1000, never)
    # when one topic brings what was there long before, and one what came just before
    lanes.put(("heard", 0), batch("heard", 1000, 1000 - HISTORY_S - 1))
    lanes.put(("own", 0), batch("own", 3, 999))
    # then what came just before is waited for
    assert lanes.waiting(besides="commands") == 3
    await lanes.close()


async def test_what_follows_from_an_old_command_is_waited_for_all_the_same() -> None:
    # given lanes that are open for long
    now = 0.0
    lanes = lane_of(lambda: now, never)
    now = 1000.0
    # when an event comes that has the time of a command which waited
    lanes.put(("heard", 0), batch("heard", 3, now - 10 * HISTORY_S))
    # then it counts
    assert lanes.waiting(besides="commands") == 3
    await lanes.close()


async def test_for_a_lane_that_does_not_move_nobody_waits_for_long() -> None:
    # given a batch at which its handler is for long
    now = 0.0
    lanes = lane_of(lambda: now, never)
    lanes.put(("own", 0), batch("own", 3, 0))
    assert lanes.waiting(besides="commands") == 3
    # when it has not moved for as long as something may be away
    now = STUCK_S + 1
    # then nobody waits for it, nor for what comes behind it
    lanes.put(("own", 0), batch("own", 3, now))
    assert lanes.waiting(besides="commands") == 0
    await lanes.close()


async def test_who_asks_little_does_not_wait_behind_who_asks_much() -> None:
    # given a process that is at what it has begun, and many that ask for much
    admission = Admission()
    admission.heed(lambda: ENOUGH + 1)
    many = [asyncio.create_task(admission.admit(MANY)) for _ in range(20)]
    await asyncio.sleep(0)
    # when somebody asks for one
    begun = asyncio.get_running_loop().time()
    await admission.admit(1)
    # then it waits no longer than if it were alone
    assert asyncio.get_running_loop().time() - begun < 3 * PATIENCE_S
    for task in many:
        task.cancel()
    await asyncio.gather(*many, return_exceptions=True)
