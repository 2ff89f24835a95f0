"""A state is what the log says: whatever is in memory, whatever is on disk, and whoever goes on with it."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from infra.errors import LogDamaged, Unusable
from infra.testing.disk import Content, MemoryStore
from infra.wire.record import Read
from infra.write.aggregates import Aggregates
from infra.write.decision import CommandHandler, Decision
from infra.write.layout import Batch
from infra.write.state import AT_ONCE, State
from tests.counter.commands.counter import RecordRing
from tests.counter.schemas.counter import Added
from tests.infra.counter_log import CODEC, add, commands, decide, empty, failing, fresh, landed, stored

T = TypeVar("T")


def log(counters: int) -> list[Read]:
    """Counters in every state: added to, full, rung, and emptied twice; and a key that is blocked."""
    aggregates, found, offset = fresh(), list[Read](), 0
    for number in range(counters):
        full, rung = (add(number, 3), "a"), (RecordRing(counter_id=f"c{number}"), "r")
        emptied = [(add(number), "a"), (empty(number), "b"), (add(number), "c"), (empty(number, 1), "d")]
        asked: list[Any] = [[(add(number), "a")], [full], [full], emptied][number % 4]
        batches = [commands(*asked, start=offset)]
        offset += len(asked)
        if number == 5:
            batches.append([failing(b"c5", b"bad", offset)])
            offset += 1
        if number % 4 == 2:
            batches.append(commands(rung, start=number))
        for records in batches:
            decision = decide(aggregates, records)
            found += landed(decision.records, len(found))
            aggregates.merge(decision)
    return found


async def fold(state: State, records: list[Read]) -> None:
    """As a writer does, what is needed being at hand."""
    aggregates = state.aggregates
    await state.fetch(slot for r in records for slot in aggregates.slots_of(r.key or b""))
    aggregates.fold(records)


async def answer(state: State, records: list[Read]) -> Decision:
    handler = CommandHandler(state.aggregates)
    asked = handler.read(records)
    await state.fetch(*handler.about(asked))
    return handler.decide(asked)


async def resumed(content: Content, budget: float = float("inf")) -> State:
    """Whoever takes the partition over, with what lies on the disk."""
    state = stored(fresh(), content, budget)
    if (found := state._begin()) is not None:
        state.aggregates.resume(*found)
        state._is_all_here = False
    return state


async def whole(state: State, counters: int) -> tuple[Any, ...]:
    """Everything a partition knows, with all of it in memory."""
    a = state.aggregates
    keys = [b"c%d" % n for n in range(counters)]
    names: list[Any] = [(key, name) for key in keys for name in (b"a", b"b", b"c", b"d", (b"r",), b"bad")]
    await state.fetch((slot for key in keys for slot in a.slots_of(key)), names)
    decided = {name: a.decided[name] for name in names if name in a.decided}
    position = replace(a.position(), opened=0)  # how many were opened on the way is a matter of how it was folded
    return position, a.states, decided, a.queues, a.intents


@pytest.mark.parametrize("budget", [float("inf"), 3000, 0])
@pytest.mark.parametrize("seed", range(5))
async def test_a_state_that_was_written_and_the_rest_of_the_log_are_the_whole_log(seed: int, budget: float) -> None:
    # given a log that was folded and written down in pieces
    records, dice, content = log(40), random.Random(seed), Content(b"")
    at = sorted(dice.sample(range(1, len(records)), 3))
    state = stored(fresh(), content, budget)
    for start, end in zip([0, *at], at, strict=False):
        await fold(state, records[start:end])
        await state.write()
        await state.trim()
    # when somebody goes on with it
    later = await resumed(content, budget)
    assert later.aggregates.next_offset == at[-1]
    await fold(later, records)
    # then it is the fold of the log
    whole_log = stored(fresh())
    whole_log.aggregates.fold(records)
    assert await whole(later, 40) == await whole(whole_log, 40)


async def test_what_was_decided_before_is_not_decided_again() -> None:
    content = Content(b"")
    state = stored(fresh(), content)
    state.aggregates.fold(log(8))
    await state.close()
    later = await resumed(content)
    again = await answer(later, commands((add(3), "a"), (empty(3, 1), "d"), start=10_000))
    assert again.records == []


async def test_what_is_let_go_of_is_there_when_it_is_asked() -> None:
    # given a counter that nobody has room for
    state = stored(fresh(), budget=0)
    state.aggregates.fold(log(8))
    await state.write()
    await state.trim()
    assert state.aggregates.states == {} and state.aggregates.decided == {} and state.aggregates.intents == {}
    # when it is asked
    decision = await answer(state, commands((add(0, 2), "late"), start=10_000))
    # then it is full, as it had one already
    assert decision.states[b"c0"].value == 3


async def test_what_changed_is_not_let_go_of_before_it_is_written() -> None:
    state = stored(fresh(), budget=0)
    state.aggregates.fold(log(8))
    before = dict(state.aggregates.states)
    await state.trim()
    assert state.aggregates.states == before


async def test_what_is_only_taken_in_is_not_behind_a_position_that_is_written() -> None:
    content = Content(b"")
    state = stored(fresh(), content)
    state.aggregates.take(log(8))
    # when whoever has taken it in lets go of the partition
    await state.close()
    # then whoever has it next begins where it was
    assert (await resumed(content)).aggregates.next_offset == 0


@pytest.mark.parametrize(
    "broken",
    [{"value": CODEC.prefix_of(Added) + b"nonsense"}, {"headers": [("weft-expected-offset", b"6")]}],
    ids=["in its value", "in its headers"],
)
async def test_what_an_event_tore_is_not_written(broken: dict[str, Any]) -> None:
    # given a log with an event in it that cannot be read
    records, content = log(8), Content(b"")
    state = stored(fresh(), content)
    with pytest.raises(LogDamaged):
        state.aggregates.fold([*records[:6], records[6]._replace(**broken), *records[7:]])
    # when its owner lets go of it
    await state.close()
    # then the next one comes to that event again
    assert (await resumed(content)).aggregates.next_offset == 0


class Stalled(MemoryStore):
    """A disk that waits; `fails` is what it does then."""

    def __init__(self, content: Content, fails: bool = False) -> None:
        self.go_on = asyncio.Event()
        self.fails = fails
        super().__init__(content, self.go_on.wait)  # type: ignore[arg-type]

    def write(self, batch: Batch) -> None:
        if self.fails:
            raise OSError("No space left on device")
        super().write(batch)


def slow(content: Content, fails: bool = False) -> tuple[State, Stalled]:
    store = Stalled(content, fails)
    return State(fresh(), store, lambda: float("inf")), store


async def until_it_waits() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_stop_while_something_is_written_leaves_nothing_out() -> None:
    # given changes that are being written, and more that is decided meanwhile
    records, content = log(8), Content(b"")
    state, disk = slow(content)
    state.aggregates.fold(records[:5])
    writing = asyncio.create_task(state.write())
    await until_it_waits()
    state.aggregates.fold(records)
    # when whoever waits for that is told to end
    writing.cancel()
    closing = asyncio.create_task(state.close())
    await until_it_waits()
    disk.go_on.set()
    await closing
    # then who goes on has what the log says
    folded = stored(fresh())
    folded.aggregates.fold(records)
    assert await whole(await resumed(content), 8) == await whole(folded, 8)


async def test_nothing_is_written_behind_what_could_not_be() -> None:
    records, content = log(8), Content(b"")
    state, disk = slow(content, fails=True)
    disk.go_on.set()
    state.aggregates.fold(records[:5])
    with pytest.raises(OSError, match="No space"):
        await state.write()
    # when there is room again, and more has changed
    disk.fails = False
    state.aggregates.fold(records)
    with pytest.raises(Unusable, match="counter/0: what changed could not be written"):
        await state.write()
    # then what is on the disk is as it was
    await state.close()
    assert (await resumed(content)).aggregates.next_offset == 0


async def test_ids_that_are_too_old_are_forgotten_on_disk_as_well() -> None:
    content = Content(b"")
    aggregates = Aggregates(fresh().context, fresh().codec, 0, 1, dedupe_ms=1000)
    state = stored(aggregates, content)
    records = log(8)
    aggregates.fold([record._replace(timestamp=record.timestamp + i * 500) for i, record in enumerate(records)])
    await state.write()
    of_ids: Callable[[], int] = lambda: sum(key.startswith(b"i") for key in content.now)  # noqa: E731
    assert of_ids() > 3
    await state.forget()
    assert 0 < of_ids() <= 3


async def test_what_cannot_be_let_go_of_yet_keeps_nobody_waiting() -> None:
    # given more commands that are not written yet than are let go of in one turn
    state = stored(fresh(), budget=0)
    state.aggregates.fold(landed(decide(fresh(), commands(*((add(i), f"a-{i}") for i in range(800)))).records, 0))
    assert len(state.aggregates.decided) == 800 > AT_ONCE
    async with asyncio.timeout(1):
        await state.trim()
    assert len(state.aggregates.decided) == 800


@pytest.mark.parametrize("is_cold", [False, True])
async def test_whether_something_is_still_wanted_is_known_of_hot_and_of_cold(is_cold: bool) -> None:
    # given a counter that is full, whose bell is to be rung
    content = Content(b"")
    state = stored(fresh(), content)
    decision = decide(state.aggregates, commands((add(1, 3), "a")))
    state.aggregates.merge(decision)
    (wish,) = state.aggregates.intents.values()
    if is_cold:
        await state.close()
        state = await resumed(content)
        assert not state.aggregates.states
    # then it is wanted, and nothing else is
    assert await state.is_open(wish)
    assert not await state.is_open(replace(wish, key="counter.events/0/99"))
    # and not once it was rung
    rung = await answer(state, commands((RecordRing(counter_id="c1"), "r")))
    state.aggregates.merge(rung)
    assert not await state.is_open(wish)
    await state.close()
    assert not await (await resumed(content)).is_open(wish)
