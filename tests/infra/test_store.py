"""RocksDB as a store: what is kept, what is set aside, and that nobody shares one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from infra.errors import Unusable
from infra.write import store as stores
from infra.write.store import RocksDisk, Store

OPEN: list[Store] = []


@pytest.fixture(autouse=True)
def let_go(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(stores, "LOCK_SECONDS", 0.3)
    yield
    while OPEN:
        OPEN.pop().close()


async def opened(home: Path, head: bytes = b"this") -> Store:
    store = await RocksDisk(home, 8).open("orders", 0, head)
    OPEN.append(store)
    return store


def let_others() -> None:
    OPEN.pop().close()


async def test_what_was_written_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    store.write({b"sa": b"1", b"sb": b"2", b"sc": b"3"})
    store.write({b"sb": None})
    let_others()
    again = await opened(tmp_path)
    assert again.get([b"sa", b"sb", b"nothing"]) == [b"1", None, None]
    assert again.scan(b"s", b"t", 10) == [(b"sa", b"1"), (b"sc", b"3")]
    assert again.scan(b"sb", b"t", 10) == [(b"sc", b"3")]
    assert again.scan(b"s", b"sc", 10) == [(b"sa", b"1")]
    assert again.scan(b"s", b"t", 1) == [(b"sa", b"1")]


async def test_a_store_of_something_else_is_set_aside_and_said(tmp_path: Path) -> None:
    (await opened(tmp_path)).write({b"sa": b"1"})
    let_others()
    with capture_logs() as said:
        store = await opened(tmp_path, b"other")
    assert store.get([b"sa"]) == [None]
    assert [line["reason"] for line in said] == ["it is of other code, or of another topic"]


KEYS = [b"s%05d" % i for i in range(1000)]


async def filled(home: Path, spoil: str, where: slice = slice(None)) -> None:
    """A store whose files of this name somebody wrote over."""
    (await opened(home)).write({key: os.urandom(100) for key in KEYS})
    let_others()
    for file in (home / "orders" / "0").glob(spoil):
        content = bytearray(file.read_bytes())
        content[where] = b"?" * len(content[where])
        file.write_bytes(content)


@pytest.mark.parametrize("spoil", ["MANIFEST-*", "*.sst", "CURRENT"])
async def test_a_store_that_cannot_be_opened_is_set_aside(spoil: str, tmp_path: Path) -> None:
    await filled(tmp_path, spoil)
    assert (await opened(tmp_path)).get(KEYS) == [None] * 1000


async def test_a_store_whose_head_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    await filled(tmp_path, "*.sst", slice(0, 4000))
    assert (await opened(tmp_path)).get(KEYS) == [None] * 1000


async def test_a_store_that_turns_out_to_be_broken_is_set_aside_by_the_next_start(tmp_path: Path) -> None:
    await filled(tmp_path, "*.sst", slice(20_000, 30_000))
    store = await opened(tmp_path)
    with pytest.raises(Unusable, match="the next start folds it anew"):
        store.get(KEYS)
    let_others()
    assert (await opened(tmp_path)).get(KEYS) == [None] * 1000


async def test_what_cannot_be_read_does_not_end_a_scan_as_if_there_were_no_more(tmp_path: Path) -> None:
    await filled(tmp_path, "*.sst", slice(20_000, 30_000))
    store = await opened(tmp_path)
    with pytest.raises(Unusable, match="the next start folds it anew"):
        store.scan(b"s", b"t", len(KEYS) + 1)


async def test_who_finds_a_store_in_use_begins_one_of_his_own(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    first.write({b"sa": b"1"})
    with capture_logs() as said:
        second = await opened(tmp_path)
    assert [line["event"] for line in said] == ["state in use"]
    assert second.get([b"sa"]) == [None]
    # and the one that is free again is taken first, what was begun beside it is not needed then
    while OPEN:
        let_others()
    assert (await opened(tmp_path)).get([b"sa"]) == [b"1"]
    assert not (tmp_path / "orders" / "0.2").exists()


async def test_only_its_user_reads_it(tmp_path: Path) -> None:
    await opened(tmp_path)
    assert (tmp_path / "orders").stat().st_mode & 0o077 == 0


async def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "orders").write_text("a file")
    with pytest.raises(Unusable, match="the state of orders/0 cannot be kept"):
        await opened(tmp_path)


KILLED = """
import asyncio, os, sys
from pathlib import Path
from infra.write.store import RocksDisk
store = asyncio.run(RocksDisk(Path(sys.argv[1]), 8).open("orders", 0, b"this"))
for n in range(1, 200):
    store.write({b"@": b"%d" % n, b"s%d" % (n % 7): b"%d" % n})
    if n in (50, 120):
        store.flush()
print("written", flush=True)
sys.stdin.read()
"""


def killed(home: Path) -> None:
    """A process that writes, flushes now and then, and is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)


async def test_a_crash_leaves_a_prefix_of_what_was_written(tmp_path: Path) -> None:
    killed(tmp_path)
    # then state and position are of one moment
    store = await opened(tmp_path)
    (position,) = store.get([b"@"])
    at = int(position or b"0")
    assert 120 <= at <= 199
    values = store.get([b"s%d" % i for i in range(7)])
    assert sorted(int(v or 0) for v in values) == list(range(at - 6, at + 1))
