"""What is due, and what is wanted of the outside: each once, in order, and as much of it at hand as there is room for."""

from dataclasses import replace
from typing import Any

import pytest

from infra.errors import Unknown
from infra.messages import Due
from infra.testing.disk import Content, MemoryStore
from infra.wire.envelope import CAUSE_TIME, ID
from infra.wire.record import Outgoing
from infra.write import agenda as agendas
from infra.write.agenda import Agenda
from infra.write.intents import Intent, slot_of
from infra.write.state import State
from infra.write.timers import due_command, fire
from tests.counter.commands.counter import Empty
from tests.infra.counter_log import CODEC, CONTEXT, NOW, fresh

# whose states are what they want
TELLING = replace(
    CONTEXT,
    aggregates=(
        replace(
            CONTEXT.aggregates[0],
            pending=lambda key, state: None if isinstance(state, Due) else state,
            due=lambda key, state: state if isinstance(state, Due) else None,
        ),
    ),
    target=lambda wanted: str(wanted).partition(" ")[0],
)


def due(number: int, after_s: int) -> Intent:
    wanted = Due(after_s, Empty(counter_id=f"c{number}", filling=0))
    return Intent(f"counter.events/0/{number}", 0, b"c%d\0due" % number, wanted, "c", NOW)


def wish(number: int, target: str) -> Intent:
    """Something that is wanted of a target."""
    return Intent(f"counter.events/0/{number}", 0, b"c%d\0pending" % number, f"{target} something", "c", NOW + number)


class Partition:
    """The agenda of a partition, and how intents come and go in it."""

    def __init__(self, content: Content | None = None) -> None:
        self.content = content or Content(b"")
        self.aggregates = fresh(TELLING)
        self.agenda = Agenda(State(self.aggregates, MemoryStore(self.content), lambda: 0))

    def open(self, *intents: Intent) -> list[Intent]:
        for intent in intents:
            self._leave(intent, intent.wanted)
            self.aggregates._reopen(intent.place, intent)
            self.aggregates.next_offset += 1
        return self.agenda.opened(self.aggregates.new_intents())

    def close(self, *intents: Intent) -> None:
        for intent in intents:
            self._leave(intent, None)
            self.aggregates._close(intent.place)
            self.aggregates.next_offset += 1

    def _leave(self, intent: Intent, state: Any) -> None:
        a, slot = self.aggregates, slot_of(intent.place)
        a.states[slot] = a.unwritten.states[slot] = state

    async def due(self, after_s: float) -> list[int]:
        return [number(i) for i in await self.agenda.due(NOW + after_s * 1000)]


def number(intent: Intent) -> int:
    return int(intent.key.rpartition("/")[2])


async def test_nothing_is_due_before_its_moment() -> None:
    partition = Partition()
    assert partition.open(due(1, 900)) == []
    assert await partition.due(899.999) == []
    assert await partition.due(900) == [1]


async def test_what_is_due_is_named_once() -> None:
    partition = Partition()
    partition.open(due(1, 10))
    assert await partition.due(10) == [1]
    assert await partition.due(20) == []


async def test_the_soonest_is_first_whatever_order_they_were_opened_in() -> None:
    partition = Partition()
    partition.open(due(1, 30), due(2, 10))
    partition.open(due(3, 20))
    assert await partition.due(100) == [2, 3, 1]


async def test_what_is_closed_is_not_due() -> None:
    partition = Partition()
    partition.open(due(1, 1), due(2, 1))
    partition.close(due(1, 1))
    assert await partition.due(10) == [2]


async def test_what_is_overdue_when_it_is_opened_is_due_at_once() -> None:
    partition = Partition()
    partition.open(due(1, 10))
    assert await partition.due(100) == [1]
    partition.open(due(2, 50))
    assert 2 in await partition.due(100)


async def test_what_is_opened_and_overdue_while_the_disk_is_read_is_not_passed_over() -> None:
    # given a disk that is slow
    partition = Partition()
    partition.open(due(1, 1))
    state = partition.agenda._state
    read = state.open_in

    async def slow(*where: object) -> list[tuple[bytes, Intent]]:
        rows = await read(*where)  # type: ignore[arg-type]
        partition.open(due(2, 5))
        return rows

    state.open_in = slow  # type: ignore[method-assign]
    assert await partition.due(10) == [1]
    state.open_in = read  # type: ignore[method-assign]
    # then what came meanwhile is due next
    assert 2 in await partition.due(10)


async def test_whoever_goes_on_finds_all_that_is_due() -> None:
    partition = Partition()
    partition.open(*(due(i, 60 + i) for i in range(3)))
    await partition.agenda._state.close()
    later = Partition(partition.content)
    await later.agenda.resume()
    assert await later.due(100) == [0, 1, 2]


async def test_many_are_named_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agendas, "DUE_AT_ONCE", 2)
    partition = Partition()
    partition.open(*(due(i, 1) for i in range(5)))
    assert [await partition.due(9), await partition.due(9), await partition.due(9)] == [[0, 1], [2, 3], [4]]


@pytest.fixture
def two_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agendas, "AT_HAND", 2)


@pytest.mark.usefixtures("two_at_hand")
async def test_a_target_that_is_away_holds_up_no_other() -> None:
    partition = Partition()
    begun = partition.open(*(wish(i, "mail") for i in range(5)), wish(5, "bank"))
    assert [number(i) for i in begun] == [0, 1, 5]


@pytest.mark.usefixtures("two_at_hand")
async def test_what_there_was_no_room_for_follows_in_order_and_once() -> None:
    partition = Partition()
    all_ = [wish(i, "mail") for i in range(5)]
    begun = partition.open(*all_)
    seen = [number(i) for i in begun]
    while begun:
        for intent in begun:
            partition.agenda.done(intent)
        begun = await partition.agenda.more()
        seen += [number(i) for i in begun]
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.usefixtures("two_at_hand")
async def test_what_is_wanted_while_others_wait_comes_after_them() -> None:
    partition = Partition()
    begun = partition.open(*(wish(i, "mail") for i in range(3)))
    for intent in begun:
        partition.agenda.done(intent)
    assert partition.open(wish(3, "mail")) == []
    assert [number(i) for i in await partition.agenda.more()] == [2, 3]
    # and when nobody waits any more, what is wanted is begun at once
    for i in (2, 3):
        partition.agenda.done(wish(i, "mail"))
    await partition.agenda.more()
    assert [number(i) for i in partition.open(wish(4, "mail"))] == [4]


@pytest.mark.usefixtures("two_at_hand")
async def test_whoever_goes_on_begins_what_was_left_open() -> None:
    partition = Partition()
    partition.open(*(wish(i, "mail") for i in range(3)), wish(3, "bank"))
    partition.close(wish(0, "mail"))
    await partition.agenda._state.close()
    later = Partition(partition.content)
    await later.agenda.resume()
    assert sorted(number(i) for i in await later.agenda.more()) == [1, 2, 3]


@pytest.mark.usefixtures("two_at_hand")
async def test_what_is_opened_while_the_disk_is_read_is_not_jumped_over() -> None:
    # given two that wait, and a third that is opened in the same millisecond while they are read
    partition = Partition()
    at_once = [replace(wish(i, "mail"), at=NOW) for i in (8, 9, 6, 7, 1)]
    for intent in partition.open(*at_once[:4]):
        partition.agenda.done(intent)
    state = partition.agenda._state
    read = state.open_in

    async def slow(*where: object) -> list[tuple[bytes, Intent]]:
        rows = await read(*where)  # type: ignore[arg-type]
        partition.open(at_once[4])
        return rows

    state.open_in = slow  # type: ignore[method-assign]
    seen = await partition.agenda.more()
    state.open_in = read  # type: ignore[method-assign]
    # then it has its turn behind them
    for intent in seen:
        partition.agenda.done(intent)
    seen += await partition.agenda.more()
    assert [number(i) for i in seen] == [6, 7, 1]


@pytest.mark.usefixtures("two_at_hand")
async def test_no_more_than_so_many_of_a_target_are_at_hand_whatever_their_places() -> None:
    partition = Partition()
    partition.open(*(replace(wish(i, "mail"), at=NOW) for i in (9, 8)))
    assert partition.open(*(replace(wish(i, "mail"), at=NOW) for i in range(8))) == []


async def test_a_target_without_a_name_is_no_clock() -> None:
    partition = Partition()
    nameless = replace(wish(1, "mail"), wanted=" something")
    assert [number(i) for i in partition.open(nameless)] == [1]
    assert await partition.due(10**9) == []


async def test_a_deadline_that_never_comes_is_written_as_any() -> None:
    partition = Partition()
    partition.open(due(1, 10**18))
    assert await partition.due(10**9) == []


async def test_what_is_overdue_does_not_have_others_asked_again() -> None:
    partition = Partition()
    partition.open(*(due(i, 50) for i in range(5)))
    assert await partition.due(100) == [0, 1, 2, 3, 4]
    partition.open(due(9, 1))
    assert await partition.due(100) == [9]


class Sink:
    """Keeps what was posted; the first attempt is lost."""

    def __init__(self) -> None:
        self.posted: list[Outgoing] = []
        self._is_away = True

    async def send(self, topic: str, records: object) -> None:
        if self._is_away:
            self._is_away = False
            raise Unknown("no answer")
        self.posted += [record for _, record in records]  # type: ignore[attr-defined]


def test_a_deadline_has_an_id_of_its_own_and_is_not_before_its_moment() -> None:
    headers = dict(due_command(CODEC, due(1, 5)).headers)
    assert headers[ID] == b"counter.events/0/1/due"
    assert headers[CAUSE_TIME] == b"%d" % (NOW + 5000)


async def test_what_is_due_is_posted_until_it_is_there() -> None:
    sink = Sink()
    await fire(CODEC, sink, "counter.own", 4, [due(1, 5), due(2, 5)])
    assert len(sink.posted) == 2


@pytest.mark.usefixtures("two_at_hand")
async def test_what_is_open_is_wanted_again_where_what_was_asked_may_be_lost() -> None:
    # given an agenda at work: two at hand, one of which is done though its outcome has not come, and one that waits
    partition = Partition()
    begun = partition.open(*(wish(i, "mail") for i in range(3)), due(9, 1))
    assert await partition.due(5) == [9]
    partition.agenda.done(begun[0])
    # when its owner wants all of it again, and lets go of what was at hand
    partition.agenda.done(begun[1])
    await partition.agenda.resume()
    # then nothing is left out
    seen = [number(i) for i in await partition.agenda.more()]
    for i in seen:
        partition.agenda.done(wish(i, "mail"))
    seen += [number(i) for i in await partition.agenda.more()]
    assert seen == [0, 1, 2]
    assert await partition.due(5) == [9]


@pytest.mark.usefixtures("two_at_hand")
async def test_what_is_begun_anew_while_the_disk_is_read_is_begun_at_its_beginning() -> None:
    # given a line whose first ones were let go of, and a disk that is slow
    partition = Partition()
    for intent in partition.open(*(wish(i, "mail") for i in range(6))):
        partition.agenda.done(intent)
    state = partition.agenda._state
    read = state.open_in

    async def slow(*where: object) -> list[tuple[bytes, Intent]]:
        rows = await read(*where)  # type: ignore[arg-type]
        state.open_in = read  # type: ignore[method-assign]
        await partition.agenda.resume()
        return rows

    state.open_in = slow  # type: ignore[method-assign]
    # when somebody wants all of them again meanwhile
    seen: list[int] = []
    for _ in range(6):
        begun = await partition.agenda.more()
        seen += [number(i) for i in begun]
        for intent in begun:
            partition.agenda.done(intent)
    # then all of them come, in order
    assert seen == [0, 1, 2, 3, 4, 5]


async def test_what_came_before_its_moment_is_due_again_when_that_comes() -> None:
    # given deadlines that a clock which is ahead has called
    partition = Partition()
    partition.open(due(1, 50), due(2, 100))
    assert await partition.due(3600) == [1, 2]
    # when the broker has said that it is no more than 10 s later
    partition.agenda.postpone(due(1, 50), NOW + 10_000)
    # then they are called at their moments, and so is what is opened since
    partition.open(due(3, 70))
    assert [await partition.due(after_s) for after_s in (11, 50, 70, 100)] == [[], [1], [3], [2]]
