"""What is held by key is what a dict would have, with room for all, for some, or for nothing; and only that much is in memory."""

import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from pathlib import Path
from random import Random, randbytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import Unusable
from infra.read import held, spill
from infra.read.fold import Fold
from infra.read.held import Form, Held, Room
from infra.read.rows import rows
from infra.testing.rows import T0
from projections.orders import OrderRow
from tests.infra.anew import rows_of
from tests.infra.recorded_log import CODEC, PROJECTIONS, hashed, log_of, shuffled

SIZE = 100
NUMBERS: Form[str, int] = Form(str.encode, bytes.decode, b"%d".__mod__, int, lambda key, thing: SIZE)
KEYS = st.text(max_size=3).filter(lambda key: key.isprintable())
Batch = list[tuple[str, int | None]]


def for_(count: float, directory: Path) -> Room:
    """Room for so many of the numbers."""
    return Room(count * SIZE * 10 / 7, directory)


@pytest.fixture(autouse=True)
def all_are_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "WEIGHED", 1)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 8), st.lists(st.lists(st.tuples(KEYS, st.none() | st.integers(0, 9)), max_size=12), max_size=8))
def test_it_is_a_dict_whatever_there_is_room_for(
    tmp_path_factory: pytest.TempPathFactory, room: int, batches: list[Batch]
) -> None:
    plain: dict[str, int | None] = {}
    with Held(NUMBERS, for_(room, tmp_path_factory.mktemp("spill"))) as numbers:
        for batch in batches:
            with numbers.having({key for key, _ in batch}) as at_hand:
                for key, number in batch:
                    assert at_hand.get(key) == plain.get(key)
                    at_hand[key] = plain[key] = number
            with numbers.having(set()) as at_hand:
                assert len(at_hand) <= room
        found = list(numbers.in_order())
    assert found == sorted(((k, n) for k, n in plain.items() if n is not None), key=lambda item: item[0].encode())


def test_the_coldest_are_let_go_of(tmp_path: Path) -> None:
    with Held(NUMBERS, for_(3, tmp_path)) as numbers:
        for key in ("a", "b", "c", "d", "b", "e"):
            with numbers.having({key}) as at_hand:
                at_hand[key] = 1
        with numbers.having(set()) as at_hand:
            assert list(at_hand) == ["d", "b", "e"]


def test_as_long_as_there_is_room_nobody_looks_at_the_disk(tmp_path: Path) -> None:
    with Held(NUMBERS, for_(3, tmp_path / "spill")) as numbers:
        for key in ("a", "b", "c"):
            with numbers.having({key}) as at_hand:
                at_hand[key] = 1
        assert list(numbers.in_order()) == [("a", 1), ("b", 1), ("c", 1)]
        assert not (tmp_path / "spill").exists()


def test_what_is_over_is_forgotten_wherever_it_is(tmp_path: Path) -> None:
    with Held(NUMBERS, for_(2, tmp_path)) as numbers:
        for n, key in enumerate("abcdef"):
            with numbers.having({key}) as at_hand:
                at_hand[key] = n
        numbers.forget(lambda n: n % 2 == 0)
        assert list(numbers.in_order()) == [("b", 1), ("d", 3), ("f", 5)]


@pytest.mark.parametrize("wrong", [False, True])
def test_nothing_is_left_on_the_disk(wrong: bool, tmp_path: Path) -> None:
    with suppress(ZeroDivisionError), Held(NUMBERS, for_(0, tmp_path)) as numbers:
        with numbers.having({"a"}) as at_hand:
            at_hand["a"] = 1
        assert len(list(tmp_path.iterdir())) == 1
        assert not wrong or 1 // 0
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys
from pathlib import Path
from infra.read.spill import Spill
spill = Spill(Path(sys.argv[1]), 0)
spill.write({b"a": b"1"})
print("written", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_has_left_is_removed_by_the_next_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"written\n"
        # given one that is at work, and who begins meanwhile
        spill.sweep(tmp_path)
        (left,) = tmp_path.iterdir()
        assert (left / "CURRENT").exists()
        # when it is killed
        process.send_signal(signal.SIGKILL)
    assert left.exists()
    # then the next one has no use for it
    Held(NUMBERS, for_(0, tmp_path)).close()
    assert list(tmp_path.iterdir()) == []


def test_only_its_user_reads_it(tmp_path: Path) -> None:
    made = spill.Spill(tmp_path / "spill", 0)
    (path,) = (tmp_path / "spill").iterdir()
    assert (path.stat().st_mode | path.parent.stat().st_mode) & 0o077 == 0
    made.close()


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "spill").write_text("a file")
    with (
        pytest.raises(Unusable, match="what has no room in memory cannot be kept in"),
        Held(NUMBERS, for_(0, tmp_path / "spill")) as numbers,
        numbers.having({"a"}) as at_hand,
    ):
        at_hand["a"] = 1


AT_WORK = ("num-running-flushes", "mem-table-flush-pending", "num-running-compactions", "compaction-pending")


def test_what_the_disk_has_lost_is_not_passed_over(tmp_path: Path) -> None:
    # given so much that it was written to a file, in whose middle somebody writes
    many = spill.Spill(tmp_path, 0)
    keys = [b"%05d" % n for n in range(40_000)]
    for start in range(0, len(keys), 1000):
        many.write({key: randbytes(200) for key in keys[start : start + 1000]})
    assert [key for key, _ in many.items()] == keys
    while any(many._rocks._db.property_int_value(f"rocksdb.{what}") for what in AT_WORK):
        time.sleep(0.01)
    for file in tmp_path.glob("*/*.sst"):
        content = bytearray(file.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 5000] = b"?" * 5000
        file.write_bytes(content)
    # then it is not taken for all there is
    with pytest.raises(Unusable, match="what has no room in memory"):
        for _ in many.items():
            pass
    many.close()


@pytest.mark.parametrize("name", PROJECTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_rows_for_which_there_is_no_room_make_the_same_table(name: str, seed: int, tmp_path: Path) -> None:
    projection, dice = PROJECTIONS[name], Random(seed)
    fold = Fold(projection, CODEC)
    records, batch = list(shuffled(log_of(projection), dice)), dice.choice((7, 100, 3000))
    with rows(projection, Room(dice.choice((0, 20_000, 200_000)), tmp_path)) as some:
        for start in range(0, len(records), batch):
            facts = fold.facts(records[start : start + batch])
            with some.having({row_id for row_id, _, _ in facts}) as at_hand:
                fold.apply(at_hand, facts)
        made = dict(some.in_order())
    assert hashed(projection, made) == hashed(projection, rows_of(projection, log_of(projection)))


@pytest.mark.parametrize("name", PROJECTIONS)
def test_rows_folded_one_by_one_are_the_same_and_in_order(name: str, tmp_path: Path) -> None:
    projection = PROJECTIONS[name]
    spilled = rows_of(projection, log_of(projection), Room(0, tmp_path), 50)
    assert spilled == rows_of(projection, log_of(projection))
    assert list(spilled) == sorted(spilled)


MANY, MB = 20_000, 1 << 20
ORDERS = PROJECTIONS["orders"]


def order_rows() -> Iterator[OrderRow]:
    for n in range(MANY):
        at = T0 + timedelta(seconds=n)
        yield OrderRow(
            order_id=f"order-{n * 7919 % MANY:08}",
            customer_id=f"customer-{n}",
            status="placed",
            code="",
            reason="",
            currency="EUR",
            total_minor=1000 + n,
            line_count=n % 9,
            tracking=f"T{n}",
            placed_at=at,
            changed_at=at,
        )


def peak(room: Room) -> tuple[int, int]:
    """Bytes of memory that many rows take at most, from the first to the last that is handed on; and how many these are."""
    coming = order_rows()
    tracemalloc.start()
    try:
        with rows(ORDERS, room) as some:
            while batch := {row.order_id: row for row in islice(coming, 1000)}:
                with some.having(batch.keys()) as at_hand:
                    at_hand.update(batch)
            count = sum(1 for _ in some.in_order())
        return tracemalloc.get_traced_memory()[1], count
    finally:
        tracemalloc.stop()


def test_memory_is_as_much_as_there_is_room_however_many_rows_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(held, "WEIGHED", 8)
    whole, count = peak(Room(float("inf"), tmp_path))
    assert (count, whole > 8 * MB) == (MANY, True)
    bounded, count = peak(Room(2 * MB, tmp_path))
    assert (count, bounded < 2 * MB + 2 * MB) == (MANY, True), (
        bounded
    )  # the room, and what comes and is written at once


def test_rows_take_no_more_than_they_are_said_to_and_no_less_than_half_of_it(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        with rows(ORDERS, Room(float("inf"), tmp_path)) as some:
            made = {row.order_id: row for row in order_rows()}
            with some.having(made.keys()) as at_hand:
                at_hand.update(made)
            made.clear()
            said, takes = some._bytes, tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 1 <= said / takes <= 2
