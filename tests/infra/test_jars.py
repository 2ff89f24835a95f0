"""The jars of the embedded Kafka: only what the lock names, whatever becomes of a download."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from threading import Barrier, Event

import pytest

from infra.embedded.jars import LOCK, Jar, fetch, read_lock
from infra.errors import Unusable

GOOD = b"the bytes that were locked"
DIGEST = hashlib.sha256(GOOD).hexdigest()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "jars.lock"
    file.write_text(f"org.example:one:1.0 sha256:{DIGEST}\norg.example:two:2.0:linux sha256:{DIGEST}\n")
    return file


class Registry:
    def __init__(self, content: bytes = GOOD) -> None:
        self.content = content
        self.asked: list[str] = []
        self.fail_on = ""

    def __call__(self, jar: Jar, into: Path) -> Path:
        self.asked.append(jar.artifact)
        if jar.artifact == self.fail_on:
            raise ConnectionError("the line went dead")
        into.mkdir(parents=True)
        (into / "found.jar").write_bytes(self.content)
        return into / "found.jar"


def test_every_locked_jar_is_fetched_and_named(tmp_path: Path, lock: Path) -> None:
    paths = fetch(tmp_path, get=Registry(), lock=lock)
    assert [(p.name, p.read_bytes()) for p in paths] == [("one-1.0.jar", GOOD), ("two-2.0-linux.jar", GOOD)]


def test_what_is_there_is_not_fetched_again(tmp_path: Path, lock: Path) -> None:
    fetch(tmp_path, get=Registry(), lock=lock)
    second = Registry()
    fetch(tmp_path, get=second, lock=lock)
    assert second.asked == []


def test_a_wrong_checksum_is_refused_and_not_kept(tmp_path: Path, lock: Path) -> None:
    with pytest.raises(Unusable, match="sha256"):
        fetch(tmp_path, get=Registry(b"something else"), lock=lock)
    assert not list((tmp_path / "kafka-jars").iterdir())


def test_an_interrupted_download_is_taken_up_again(tmp_path: Path, lock: Path) -> None:
    broken = Registry()
    broken.fail_on = "two"
    with pytest.raises(Unusable, match="run the command again"):
        fetch(tmp_path, get=broken, lock=lock)
    again = Registry()
    assert len(fetch(tmp_path, get=again, lock=lock)) == 2
    assert "two" in again.asked


def test_a_jar_damaged_in_the_cache_is_fetched_again(tmp_path: Path, lock: Path) -> None:
    (first, _) = fetch(tmp_path, get=Registry(), lock=lock)
    first.write_bytes(b"half")
    fetch(tmp_path, get=Registry(), lock=lock)
    assert first.read_bytes() == GOOD


def test_a_jar_that_is_done_leaves_the_folders_of_the_others_alone(tmp_path: Path, lock: Path) -> None:
    both_begun, one_done = Barrier(2), Event()

    def get(jar: Jar, into: Path) -> Path:
        into.parent.mkdir(parents=True, exist_ok=True)  # as mkdir(parents=True) does it, which is two steps
        both_begun.wait(10)
        assert jar.artifact == "one" or one_done.wait(10)
        into.mkdir()
        (into / "found.jar").write_bytes(GOOD)
        return into / "found.jar"

    def progress(done: int, total: int) -> None:
        if done == 1:
            one_done.set()

    assert len(fetch(tmp_path, progress, get, lock)) == 2


def test_nothing_is_left_of_a_download_whether_it_succeeds_or_not(tmp_path: Path, lock: Path) -> None:
    broken = Registry()
    broken.fail_on = "two"
    with pytest.raises(Unusable):
        fetch(tmp_path, get=broken, lock=lock)
    assert {path.name for path in tmp_path.iterdir()} == {"kafka-jars", lock.name}
    fetch(tmp_path, get=Registry(), lock=lock)
    assert {path.name for path in tmp_path.iterdir()} == {"kafka-jars", lock.name}


def test_what_a_process_left_behind_is_cleared_away_once_it_has_ended(tmp_path: Path, lock: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, alive = tmp_path / f"partial-{ended.pid}-x", tmp_path / f"partial-{os.getpid()}-x"
    dead.mkdir()
    alive.mkdir()
    fetch(tmp_path, get=Registry(), lock=lock)
    assert not dead.exists() and alive.exists()


def test_progress_counts_up_to_the_whole(tmp_path: Path, lock: Path) -> None:
    seen: list[tuple[int, int]] = []
    fetch(tmp_path, progress=lambda done, total: seen.append((done, total)), get=Registry(), lock=lock)
    assert seen == [(0, 2), (1, 2), (2, 2)]


def test_the_committed_lock_pins_every_jar() -> None:
    jars = list(read_lock(LOCK.read_text()))
    assert len(jars) == 46
    assert all(len(jar.sha256) == 64 for jar in jars)
    assert {"kafka_2.13", "kafka-clients"} <= {jar.artifact for jar in jars}
