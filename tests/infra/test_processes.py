"""Children end with their parent, or at the latest with its next start; strangers are never touched."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from infra.embedded import processes
from infra.embedded.processes import Children, end_leftovers, leftovers
from infra.errors import Unusable

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)",
]


@pytest.fixture
def children(tmp_path: Path) -> Children:
    return Children(tmp_path / "children.json", tmp_path / "logs")


def test_a_child_is_stopped(children: Children) -> None:
    child = children.start("sleeper", SLEEP)
    children.stop("sleeper")
    assert child.poll() is not None


def test_a_child_that_does_not_listen_is_killed(children: Children) -> None:
    child = children.start("stubborn", STUBBORN)
    children.wait_until("stubborn", lambda: "on" in children.tail("stubborn"), 10, "it")
    children.stop("stubborn", patience=0.2)
    assert child.returncode == -9


def test_what_a_killed_parent_left_behind_is_ended(children: Children, tmp_path: Path) -> None:
    child = children.start("orphan", SLEEP)  # and nobody stops it
    assert end_leftovers(tmp_path / "children.json") == ["orphan"]
    assert child.wait(10) is not None
    children.stop("orphan")


def test_a_stranger_with_a_reused_pid_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEP) as stranger:
        created = psutil.Process(stranger.pid).create_time()
        (tmp_path / "children.json").write_text(json.dumps({"kafka": [stranger.pid, created - 100]}))
        assert end_leftovers(tmp_path / "children.json") == []
        time.sleep(0)
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_torn_ledger_is_no_obstacle(content: str, tmp_path: Path) -> None:
    (tmp_path / "children.json").write_text(content)
    assert end_leftovers(tmp_path / "children.json") == []


def test_a_child_that_dies_at_its_start_is_named_with_its_last_words(children: Children) -> None:
    children.start("broken", [sys.executable, "-c", "raise SystemExit('no such port')"])
    with pytest.raises(Unusable, match="no such port"):
        children.wait_until("broken", lambda: False, 10, "the broker")
    children.stop("broken")


CHATTERBOX = """
import itertools, sys
for number in itertools.count():
    print(f"line {number:08}", flush=True)
    if number == int(sys.argv[1]):
        raise SystemExit("the last word")
"""
MANY = 200_000


def test_what_a_child_says_takes_no_more_room_than_its_bound(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a child that says more than its logs may hold
    monkeypatch.setattr(processes, "LOG_BYTES", 10_000)
    child = children.start("chatterbox", [sys.executable, "-c", CHATTERBOX, str(MANY)])
    # when its logs are kept within bounds while it talks
    while child.poll() is None:
        children.bound_logs()
    children.bound_logs()
    # then there are as many as there may be, each holds what a log may hold and what came since, and the last word is known
    logs = list((tmp_path / "logs").iterdir())
    assert len(logs) == 1 + processes.OLD_LOGS
    assert sum(log.stat().st_size for log in logs) < MANY * len("line 00000000") / 2
    assert {log.stat().st_mode & 0o077 for log in logs} == {0}
    assert "the last word" in children.tail("chatterbox")
    assert f"line {MANY:08}" in children.tail("chatterbox")
    children.stop("chatterbox")


def test_a_log_goes_on_where_it_was_cut(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LOG_BYTES", 10)
    echo = [sys.executable, "-c", "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"]
    child = children.start("echo", echo)
    assert child.stdin
    for word in (b"a first line\n", b"a second line\n"):
        child.stdin.write(word)
        child.stdin.flush()
        children.wait_until("echo", lambda said=word: children.log_file("echo").read_bytes() == said, 10, "it")  # type: ignore[misc]
        children.bound_logs()
    assert children.tail("echo").splitlines() == ["a second line"]
    assert children.log_file("echo").with_name("echo.log.2").read_text() == "a first line\n"
    children.stop("echo")


def test_a_log_that_cannot_be_kept_is_cut_all_the_same(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(processes, "LOG_BYTES", 10)
    monkeypatch.setattr(processes.shutil, "copyfile", full)
    children.log_file("kafka").write_text("x" * 100)
    children.bound_logs()
    assert children.log_file("kafka").read_text() == ""


def test_no_ledger_means_no_children(tmp_path: Path) -> None:
    assert leftovers(tmp_path / "nothing.json") == {}
