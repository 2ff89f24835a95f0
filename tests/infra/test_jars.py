"""The jars of the embedded Kafka: only what the lock names, whatever becomes of a download."""

import hashlib
from pathlib import Path

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
    found = fetch(tmp_path, get=Registry(), lock=lock)
    assert [(p.name, p.read_bytes()) for p in found] == [("one-1.0.jar", GOOD), ("two-2.0-linux.jar", GOOD)]


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


def test_progress_counts_up_to_the_whole(tmp_path: Path, lock: Path) -> None:
    seen: list[tuple[int, int]] = []
    fetch(tmp_path, progress=lambda done, total: seen.append((done, total)), get=Registry(), lock=lock)
    assert seen == [(0, 2), (1, 2), (2, 2)]


def test_the_committed_lock_pins_every_jar() -> None:
    jars = list(read_lock(LOCK.read_text()))
    assert len(jars) == 46
    assert all(len(jar.sha256) == 64 for jar in jars)
    assert {"kafka_2.13", "kafka-clients"} <= {jar.artifact for jar in jars}
