"""The writer against a log that misbehaves in every way a log can."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import count
from typing import Any

import pytest

from infra.errors import LogDamaged, Unknown
from infra.wire.envelope import OUTCOME_OF, OWN_OFFSET
from infra.wire.record import Outgoing, Read
from infra.write.admission import PATIENCE_S, Admission
from infra.write.aggregates import Aggregates
from infra.write.decision import WINDOW
from infra.write.intents import Intent
from infra.write.writer import Bounds, Writer
from tests.counter.commands.counter import RecordRing
from tests.counter.schemas.counter import Rung
from tests.infra.counter_log import CODEC, add, commands, empty, fresh, stored
from tests.infra.counter_log import own as asked_itself


class MemoryLog:
    """An events topic and a sink; `faults` are used up one an append."""

    def __init__(self) -> None:
        self.records: list[Read] = []
        self.sent: list[tuple[str, int, Outgoing]] = []
        self.faults: list[str] = []
        self.in_flight = 0

    def land(self, records: Sequence[Outgoing]) -> int:
        base = len(self.records)
        self.records += [
            Read("counter.events", 0, base + i, r.timestamp or 0, r.key, r.value, r.headers)
            for i, r in enumerate(records)
        ]
        return base

    async def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, len(self.records))

    async def read(self, partition: int, start: int, end: int) -> AsyncIterator[Sequence[Read]]:
        yield self.records[start:end]

    async def append(self, partition: int, records: Sequence[Outgoing]) -> int:
        self.in_flight += 1
        assert self.in_flight == 1, "one batch in flight a partition"
        await asyncio.sleep(0)
        self.in_flight -= 1
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "never arrived":
            raise Unknown(fault)
        if fault == "somebody was faster":
            self.land([Outgoing(b"k", b"junk", [])])
        base = self.land(records)
        if fault == "answer lost":
            raise Unknown(fault)
        if fault == "retried by the client":
            return self.land(records)
        return base

    async def send(self, topic: str, records: Iterable[tuple[int, Outgoing]]) -> None:
        self.sent += [(topic, partition, record) for partition, record in records]


def writer(log: MemoryLog) -> Writer:
    return Writer(stored(fresh()), log, log, lambda intents: None)


def five() -> list[Any]:
    return commands(*((add(i), str(i)) for i in range(5)))


def folded(log: MemoryLog) -> Aggregates:
    aggregates = fresh()
    aggregates.fold(log.records)
    return aggregates


FAULTS = ["never arrived", "answer lost", "retried by the client", "somebody was faster"]


@pytest.mark.parametrize("faults", [[], *([f] for f in FAULTS), FAULTS, FAULTS[::-1] * 2], ids=str)
async def test_every_command_is_applied_once_whatever_becomes_of_the_append(faults: list[str]) -> None:
    log = MemoryLog()
    log.faults = list(faults)
    own = writer(log)
    await own.handle(five())
    assert len(folded(log).states) == 5
    assert len(folded(log).decided) == 5
    assert own.aggregates.states == folded(log).states


async def test_a_foreign_record_is_folded_before_deciding_again() -> None:
    log = MemoryLog()
    zombie, owner = writer(log), writer(log)
    await zombie.handle(five()[:3])
    await owner.handle(five())
    assert owner.conflicts == 1
    assert len(folded(log).decided) == 5


async def test_a_log_that_lost_its_end_stops_the_writer() -> None:
    log = MemoryLog()
    own = writer(log)
    await own.handle(five())
    log.records.clear()
    with pytest.raises(LogDamaged, match="lost data"):
        await own.catch_up()


async def test_the_dead_letter_is_safe_before_its_answer() -> None:
    log = MemoryLog()
    log.faults = ["never arrived"]
    own = writer(log)
    await own.handle([Read("counter.commands", 0, 0, 1, b"k", b"garbage", [])])
    assert log.sent[0][0] == "counter.dead"
    assert len(log.records) == 1


async def test_an_idle_owner_sees_what_a_zombie_appended() -> None:
    log = MemoryLog()
    zombie, owner = writer(log), writer(log)
    await zombie.handle(five())
    await owner.catch_up(end=5)
    assert owner.aggregates.next_offset == 5


async def test_what_a_duplicate_wakes_is_wanted_as_soon_as_it_is_folded() -> None:
    # given a long log that was only taken in, whose aggregate wants something
    log, heard = MemoryLog(), list[Intent]()
    await writer(log).handle(five())
    own = Writer(stored(fresh()), log, log, heard.extend, Bounds(far=0))
    await own.recover()
    assert heard == []
    # when a command of it comes that was decided long ago
    await own.handle([five()[0]._replace(offset=5)])
    # then its deadline is set, though nothing was appended
    assert [intent.place for intent in heard] == [b"c0\0due"]


async def test_what_a_zombie_appended_while_its_owner_was_at_work_is_folded_however_much_it_is() -> None:
    log, heard = MemoryLog(), list[Intent]()
    own = Writer(stored(fresh()), log, log, heard.extend, Bounds(far=1))
    await own.recover()
    await writer(log).handle(five())
    await own.catch_up(end=5)
    assert len(heard) == 5


async def test_what_a_zombie_appended_is_folded_however_much_it_is_when_an_append_meets_it() -> None:
    # given an owner of a log whose far end is near, and what a zombie appended since
    log, heard = MemoryLog(), list[Intent]()
    own = Writer(stored(fresh()), log, log, heard.extend, Bounds(far=1))
    await own.recover()
    await writer(log).handle(five())
    # when the owner's own append comes too late
    await own.handle(commands((add(99), "mine"), start=5))
    # then it is not only taken in: what the zombie's events want is wanted
    assert [intent.place for intent in heard[:5]] == [b"c%d\0due" % i for i in range(5)]


async def test_what_the_context_asked_itself_is_decided_before_what_strangers_ask() -> None:
    # given more of both than is decided at once
    log = MemoryLog()
    both = writer(log)
    asked = [asked_itself(empty(i), f"own-{i}", i) for i in range(2 * WINDOW)]
    # when strangers come while it is at its own
    task = asyncio.create_task(both.handle_own(asked))
    await asyncio.sleep(0)
    await both.handle(five())
    await task
    # then theirs is the last
    ways = [OWN_OFFSET in dict(record.headers) for record in log.records]
    assert ways == [True] * len(asked) + [False] * 5


async def test_who_never_ends_to_ask_itself_does_not_keep_strangers_out() -> None:
    log = MemoryLog()
    both = writer(log)

    async def ask_for_ever() -> None:
        for number in count():
            await both.handle_own([asked_itself(empty(number), f"own-{number}", number)])

    task = asyncio.create_task(ask_for_ever())
    await asyncio.sleep(0)
    async with asyncio.timeout(20 * PATIENCE_S):
        await both.handle(five())
    task.cancel()


async def test_who_does_not_know_the_end_of_the_log_passes_nothing_by() -> None:
    # given an owner who wants a bell rung, and a process that does not know yet that it is the owner no more
    log = MemoryLog()
    owner, zombie = writer(log), writer(log)
    await owner.handle(commands((add(1, 3), "a")))
    # when that one is brought the outcome first, which answers nothing that it knows of, and goes on
    ring = asked_itself(RecordRing(counter_id="c1"), "ring", 0, (OUTCOME_OF, b"counter.events/0/0"))
    await zombie.handle_own([ring])
    await zombie.handle_own([asked_itself(empty(2), "next", 1)])
    # then the owner is not told that it has been decided already
    await owner.catch_up()
    await owner.handle_own([ring])
    assert [type(CODEC.decode(r.value or b"")) for r in log.records].count(Rung) == 1


async def test_between_two_batches_of_its_own_no_stranger_comes_in() -> None:
    # given a context that has asked itself several times, and is brought that batch by batch
    log = MemoryLog()
    both = writer(log)

    async def ask() -> None:
        for number in range(20):
            await both.handle_own([asked_itself(empty(number), f"own-{number}", number)])

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    # when strangers come meanwhile
    await both.handle(five())
    await task
    # then theirs comes behind the last
    assert [OWN_OFFSET in dict(record.headers) for record in log.records] == [True] * 20 + [False] * 5


async def test_what_was_let_in_and_is_not_decided_yet_is_not_asked_for_again() -> None:
    # given a log that does not take a batch at once
    log, asked = MemoryLog(), list[int]()
    log.faults = ["never arrived", "never arrived"]

    class Counting(Admission):
        async def admit(self, wanted: int) -> int:
            asked.append(wanted)
            return await super().admit(wanted)

    own = Writer(stored(fresh()), log, log, lambda intents: None, admission=Counting())
    # when it is tried until it is there
    await own.handle(five())
    # then it was let in once
    assert (asked, len(log.records)) == ([5], 5)
