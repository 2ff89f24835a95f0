"""Snapshots: a start nearer to the end of the log, and never anything else."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.wire.record import Read
from infra.write.aggregates import Aggregates
from infra.write.snapshots import Snapshot, freeze, save
from tests.counter.commands.counter import RecordRing
from tests.infra.counter_log import NOW, add, commands, decide, decide_all, empty, fresh, junk, landed

OPEN: list[Snapshot] = []


@pytest.fixture(autouse=True)
def let_go() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def snapshot(
    directory: Path,
    topic_id: str = "t1",
    partitions: int = 1,
    alone: bool = True,
    code: bytes = b"this",
    **how: int,
) -> Snapshot:
    """The file as the process sees it that starts last: whoever wrote it before has let go."""
    while OPEN and alone:
        OPEN.pop().close()
    made = Snapshot(directory, code, 0, partitions, topic_id, **how)
    made.open()
    OPEN.append(made)
    return made


def log(counters: int) -> list[Read]:
    """Counters in every state: added to, full, rung, and emptied twice; and a key that is blocked."""
    aggregates, found, offset = fresh(), [], 0
    for number in range(counters):
        full, rung = (add(number, 3), "a"), (RecordRing(counter_id=f"c{number}"), "r")
        emptied = [(add(number), "a"), (empty(number), "b"), (add(number), "c"), (empty(number, 1), "d")]
        asked: list[Any] = [[(add(number), "a")], [full], [full], emptied][number % 4]
        batches = [commands(*asked, start=offset)]
        offset += len(asked)
        if number == 5:
            batches.append([junk(b"c5", b"bad", offset)])
            offset += 1
        if number % 4 == 2:
            batches.append(commands(rung, start=number))
        for records in batches:
            decision = decide(aggregates, records)
            found += landed(decision.records, len(found))
            aggregates.merge(decision)
    return found


def whole(aggregates: Aggregates) -> tuple[Any, ...]:
    """Everything a partition knows, with nothing left frozen."""
    aggregates.thaw(list(aggregates.cold))
    return (
        aggregates.next_offset,
        aggregates.inbound.plain(),
        aggregates.marks,
        aggregates.timestamp,
        aggregates.states,
        aggregates.decided,
        aggregates.queues,
        aggregates.intents,
    )


async def saved(directory: Path, records: list[Read], at: list[int], **how: int) -> None:
    """Fold the log in pieces, and take a snapshot after each."""
    aggregates, file = fresh(), snapshot(directory, **how)
    file.load(aggregates)
    for start, end in zip([0, *at], [*at, len(records)], strict=True):
        aggregates.fold(records[start:end])
        await save(aggregates, file)


@pytest.mark.parametrize("seed", range(10))
async def test_a_snapshot_and_the_rest_of_the_log_are_the_whole_log(seed: int, tmp_path: Path) -> None:
    records, dice = log(40), random.Random(seed)
    at = sorted(dice.sample(range(1, len(records)), 3))
    await saved(tmp_path, records[: at[-1]], at[:-1])
    resumed, folded = fresh(), fresh()
    assert snapshot(tmp_path).load(resumed)
    assert resumed.next_offset == at[-1]
    resumed.fold(records)
    folded.fold(records)
    assert {i.key for i in resumed.new_intents()} == {i.key for i in folded.new_intents()}
    assert whole(resumed) == whole(folded)


async def test_what_was_decided_before_the_snapshot_is_not_decided_again(tmp_path: Path) -> None:
    records = log(8)
    await saved(tmp_path, records, [])
    resumed = fresh()
    snapshot(tmp_path).load(resumed)
    again = commands((add(3), "a"), (empty(3, 1), "d"), start=10_000)
    assert decide(resumed, again).records == []


async def test_an_aggregate_that_is_kept_frozen_wakes_when_it_is_asked(tmp_path: Path) -> None:
    aggregates, file = fresh(), snapshot(tmp_path)
    aggregates.fold(log(8))
    await save(aggregates, file)
    assert b"c3" in aggregates.cold and b"c3" not in aggregates.states
    assert b"c0" in aggregates.states  # its deadline is still open
    late = commands((add(2), "late"), start=10_000)
    decide_all(aggregates, late)
    assert b"c2" not in aggregates.cold


async def test_an_aggregate_that_is_frozen_while_an_append_is_on_its_way_keeps_what_that_brings(tmp_path: Path) -> None:
    # given a decision about a counter that wants nothing, appended and not yet acknowledged
    records = log(8)
    aggregates, folded = fresh(), fresh()
    aggregates.fold(records)
    late = (add(3), "late")
    decision = decide(aggregates, commands(late, start=10_000))
    # when a snapshot freezes that counter before the acknowledgement comes
    await save(aggregates, snapshot(tmp_path))
    assert b"c3" in aggregates.cold
    aggregates.merge(decision)
    # then it is what the log says, and the command is known
    folded.fold([*records, *landed(decision.records, len(records))])
    assert decide(aggregates, commands(late, start=10_001)).records == []
    assert whole(aggregates) == whole(folded)


@pytest.mark.parametrize(
    "other",
    [
        lambda path: snapshot(path, topic_id="t2"),
        lambda path: snapshot(path, partitions=2),
        lambda path: snapshot(path, code=b"other"),
    ],
    ids=["another topic", "another count of partitions", "other code"],
)
async def test_a_snapshot_of_something_else_is_ignored_and_begun_anew(
    other: Callable[..., Snapshot], tmp_path: Path
) -> None:
    records = log(8)
    await saved(tmp_path, records, [])
    aggregates, file = fresh(), other(tmp_path)
    assert not file.load(aggregates)
    assert aggregates.next_offset == 0
    aggregates.fold(records)
    await save(aggregates, file)
    resumed = fresh()
    assert other(tmp_path).load(resumed)
    assert resumed.next_offset == len(records)


@pytest.mark.parametrize("cut", [1, 10, 50])
async def test_a_frame_torn_by_a_crash_is_left_out_and_written_over(cut: int, tmp_path: Path) -> None:
    records = log(20)
    await saved(tmp_path, records, [30])
    file = tmp_path / "0.snapshot"
    file.write_bytes(file.read_bytes()[:-cut])
    resumed = fresh()
    again = snapshot(tmp_path)
    assert again.load(resumed)
    assert resumed.next_offset == 30
    resumed.fold(records)
    await save(resumed, again)
    third = fresh()
    assert snapshot(tmp_path).load(third)
    assert whole(third) == whole(resumed)


async def test_a_file_that_is_mostly_out_of_date_is_written_anew(tmp_path: Path) -> None:
    records = log(30)
    await saved(tmp_path, records, list(range(1, len(records))), spare_bytes=0)
    size = (tmp_path / "0.snapshot").stat().st_size
    resumed, folded = fresh(), fresh()
    snapshot(tmp_path).load(resumed)
    folded.fold(records)
    assert whole(resumed) == whole(folded)
    assert size < 3 * len(freeze(folded.capture()).blobs) * 150


async def test_a_snapshot_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    aggregates = fresh()
    aggregates.fold(log(4))
    assert await save(aggregates, snapshot(tmp_path / "file")) == 0
    assert await save(aggregates, snapshot(tmp_path / "dir")) == 4


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    aggregates = fresh()
    aggregates.fold(log(4))
    snapshot(tmp_path / "dir").append(freeze(aggregates.capture()))
    assert ((tmp_path / "dir").stat().st_mode & 0o777, (tmp_path / "dir" / "0.snapshot").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )


def test_a_million_events_are_recovered_in_under_a_second(tmp_path: Path) -> None:
    """A quarter of a million counters of four events each, from their snapshot."""
    aggregates = fresh()
    aggregates.fold(log(4))
    captured = aggregates.capture()
    (states, ids, _) = next(content for content in captured.content.values() if len(content[1]) == 4)
    (state,) = states.values()
    content = {b"c%07d" % i: ({b"c%07d" % i: state}, ids, {}) for i in range(250_000)}
    made = type(captured)(1_000_000, fresh().inbound.plain(), {}, NOW, 0, {}, content)  # type: ignore[arg-type]
    snapshot(tmp_path).append(freeze(made))
    resumed = fresh()
    begun = time.process_time()
    assert snapshot(tmp_path).load(resumed)
    took = time.process_time() - begun
    assert (resumed.next_offset, len(resumed.cold)) == (1_000_000, 250_000)
    assert took < 1, f"{took:.2f} s"


async def test_only_one_writes_a_file_and_another_may_read_it(tmp_path: Path) -> None:
    records = log(20)
    await saved(tmp_path, records[:30], [])
    owner, zombie = snapshot(tmp_path), snapshot(tmp_path, alone=False)
    aggregates, late = fresh(), fresh()
    assert owner.load(aggregates) and zombie.load(late)
    late.fold(records[:40])
    assert await save(late, zombie) == 0
    aggregates.fold(records)
    assert await save(aggregates, owner) > 0
    resumed = fresh()
    assert snapshot(tmp_path).load(resumed)
    assert whole(resumed) == whole(aggregates)


async def test_nothing_is_written_of_a_log_that_is_only_taken_in(tmp_path: Path) -> None:
    aggregates, file = fresh(), snapshot(tmp_path)
    aggregates.take(log(8))
    assert await save(aggregates, file) == 0
    while aggregates.settle(2):
        pass
    assert await save(aggregates, file) == 8
