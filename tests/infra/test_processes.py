"""Children end with their parent, or at the latest with its next start; strangers are never touched."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

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


def test_no_ledger_means_no_children(tmp_path: Path) -> None:
    assert leftovers(tmp_path / "nothing.json") == {}
