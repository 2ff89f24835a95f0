"""The command line: what is asked of a mesh, what mistakes are told, and an instance of one's own."""

import json
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.live.harness import LiveMesh, directory, until
from tests.live.shop import TEA_FOR_ADA, saga
from tests.live.weft import started, weft
from tests.readme import block


def test_send_waits_for_the_receipt(shop: LiveMesh) -> None:
    done = weft(shop, "send", "orders.PlaceOrder", "cli-1", json.dumps(TEA_FOR_ADA), "--wait", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "accepted"


def test_a_refused_command_ends_with_1_and_says_why(shop: LiveMesh) -> None:
    done = weft(shop, "send", "orders.CancelOrder", "cli-nobody", '{"reason": "x"}', "--wait")
    assert done.returncode == 1
    assert "unknown_order" in done.stdout


def test_the_same_id_again_is_told_to_be_a_duplicate(shop: LiveMesh) -> None:
    for expected in ("accepted", "duplicate"):
        done = weft(shop, "send", "orders.PlaceOrder", "cli-2", json.dumps(TEA_FOR_ADA), "--id", "cli-2", "--wait")
        assert expected in done.stdout


@pytest.mark.parametrize("database", ["", "postgresql://nobody@127.0.0.1:1/nothing"])
def test_who_cannot_wait_for_a_receipt_posts_nothing(database: str, shop: LiveMesh, tmp_path: Path) -> None:
    before = shop.length("users.commands")
    variables = {"WEFT_KAFKA": str(shop.settings.kafka), "WEFT_POSTGRES": database}
    done = weft(tmp_path, "send", "users.ActivateUser", "cli-5", '{"email_key": "k"}', "--wait", **variables)
    assert (done.returncode, "ostgres" in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    assert shop.length("users.commands") == before


def test_a_file_of_commands_is_posted(shop: LiveMesh, tmp_path: Path) -> None:
    file = tmp_path / "orders.jsonl"
    lines = [{"type": "orders.PlaceOrder", "key": f"cli-file-{i}", "payload": TEA_FOR_ADA} for i in range(5)]
    file.write_text("\n".join(map(json.dumps, lines)))
    assert weft(shop, "send", "--from", str(file), "--wait").returncode == 0
    assert saga(shop, "cli-file-4")["outcome"] == "confirmed"


def test_a_bad_line_is_named_before_anything_is_sent(shop: LiveMesh, tmp_path: Path) -> None:
    file = tmp_path / "orders.jsonl"
    good = json.dumps({"type": "orders.PlaceOrder", "key": "cli-never", "payload": TEA_FOR_ADA})
    file.write_text(f"{good}\nnot json\n")
    done = weft(shop, "send", "--from", str(file))
    assert (done.returncode, "line 2" in done.stderr) == (2, True)
    assert not shop.query("SELECT 1 FROM orders WHERE order_id = 'cli-never'")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("send",), "usage"),
        (("send", "orders.Nothing", "k", "{}"), "orders.PlaceOrder"),
        (("send", "orders.CancelOrder", "k", "{}"), "reason"),
        (("send", "orders.CancelOrder", "k", "{oops"), "not JSON"),
        (("nonsense",), "Unknown command"),
        (("up", "accounts"), "orders"),
        (("log", "accounts", "x"), "orders"),
    ],
)
def test_mistyped_words_get_an_answer_that_helps(arguments: tuple[str, ...], says: str, shop: LiveMesh) -> None:
    done = weft(shop, *arguments)
    assert done.returncode in (1, 2)
    assert says in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("send", "orders.CancelOrder", "k", '{"reason": ""}'),
        ("status",),
        ("watch",),
        ("log", "orders", "x"),
        ("run", "orders"),
    ],
)
def test_a_port_where_nobody_listens_is_a_clear_error_within_seconds(command: tuple[str, ...], tmp_path: Path) -> None:
    done = weft(tmp_path, *command, WEFT_KAFKA="127.0.0.1:1", WEFT_POSTGRES="postgresql://x@127.0.0.1:1/x", patience=40)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_without_a_mesh_every_command_says_how_to_start_one(tmp_path: Path) -> None:
    for command in (
        ("status",),
        ("sql", "select 1"),
        ("watch",),
        ("send", "orders.CancelOrder", "k", '{"reason": ""}'),
    ):
        done = weft(tmp_path, *command)
        assert (done.returncode, "weft up" in done.stderr) == (1, True)


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_sql_speaks_to_machines(option: str, shop: LiveMesh) -> None:
    done = weft(shop, "sql", "select 1 as one, null as none, now() - now() as gap", option)
    assert done.returncode == 0
    assert "one" in done.stdout


def test_a_query_that_is_wrong_is_told_so(shop: LiveMesh) -> None:
    done = weft(shop, "sql", "select * from nowhere")
    assert done.returncode == 1
    assert "there are: " in done.stderr


@pytest.mark.parametrize("query", ["select * from orders", "select 1"])
def test_what_is_no_version_token_is_wrong_usage_whatever_is_asked(query: str, shop: LiveMesh) -> None:
    done = weft(shop, "sql", "--after", "foo", query)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_what_postgres_raises_is_one_line(shop: LiveMesh) -> None:
    done = weft(shop, "sql", "select analytics.wait_for('foo')")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_what_is_sealed_is_shown_as_sealed(shop: LiveMesh) -> None:
    shown = weft(shop, "log", "users", "ada").stdout
    assert "name='(sealed)'" in shown and "name='weft1:" not in shown


def test_the_log_of_an_aggregate_ends_with_its_state(shop: LiveMesh) -> None:
    weft(shop, "send", "orders.PlaceOrder", "cli-3", json.dumps(TEA_FOR_ADA), "--wait")
    saga(shop, "cli-3")
    done = weft(shop, "log", "orders", "cli-3")
    assert "orders.OrderPlaced" in done.stdout
    assert done.stdout.rstrip().endswith("paid=True)")


def test_watch_shows_an_order_from_its_beginning(shop: LiveMesh) -> None:
    weft(shop, "send", "orders.PlaceOrder", "cli-4", json.dumps(TEA_FOR_ADA), "--wait")
    saga(shop, "cli-4")
    with started(shop, "watch", "cli-4") as watching:
        assert watching.stdout
        seen = []
        while "NotificationSent" not in (line := watching.stdout.readline()):
            seen.append(line)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0
    assert any("orders.OrderPlaced" in line for line in seen)


def test_status_speaks_to_machines(shop: LiveMesh) -> None:
    status = json.loads(weft(shop, "status", "--json").stdout)
    assert status["contexts"]["orders"]["state"] == "stable"
    assert set(status["projections"]) >= {"orders", "receipts", "sagas"}


# -- one's own instance: up, kill, down


@pytest.fixture
def home() -> Iterator[Path]:
    with directory() as path:
        yield path
        weft(path, "down")


def up(home: Path) -> subprocess.Popen[str]:
    return started(home, "up", stdout=subprocess.DEVNULL)


def run_file(home: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((home / "run.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return content


def children(home: Path) -> list[int]:
    return [pid for pid, _ in json.loads((home / "children.json").read_text()).values()]


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


@pytest.mark.timeout(180)
def test_an_instance_from_its_start_to_its_end(home: Path) -> None:
    # given an instance that was started
    first = up(home)
    until(lambda: run_file(home).get("ready"), 60, "weft up is ready")
    assert weft(home, "send", "orders.PlaceOrder", "kept-1", json.dumps(TEA_FOR_ADA), "--wait").returncode == 0
    kafka = run_file(home)["addresses"]["kafka"]
    # a second one in the same directory is refused
    again = weft(home, "up")
    assert (again.returncode, "already runs" in again.stderr) == (1, True)
    # when it is killed, its children are found and ended by the next start, and the data is still there
    orphans = children(home)
    first.kill()
    first.wait()
    assert alive(orphans)
    second = up(home)
    until(lambda: run_file(home).get("ready") and run_file(home)["pid"] == second.pid, 60, "weft up is ready again")
    assert alive(orphans) == []
    assert run_file(home)["addresses"]["kafka"] == kafka
    assert "orders.OrderPlaced" in weft(home, "log", "orders", "kept-1").stdout
    # and SIGTERM ends it cleanly, with nobody left behind
    pids = children(home)
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0
    assert alive(pids) == []
    assert weft(home, "down", "--wipe").returncode == 0
    assert not (home / "kafka").exists()


@pytest.mark.timeout(120)
def test_an_instance_in_the_background_says_how_it_is_stopped_and_that_it_runs(home: Path) -> None:
    started = weft(home, "up", "--detach", patience=90)
    assert started.returncode == 0, started.stdout + started.stderr
    assert "`weft down` stops it" in started.stdout
    attached, detached = weft(home, "up"), weft(home, "up", "--detach")
    assert (detached.returncode, detached.stderr) == (attached.returncode, attached.stderr) == (1, attached.stderr)
    assert "`weft down` stops it" in (home / "logs" / "up.log").read_text()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("whose", ["kafka", "smtp"])
def test_an_instance_whose_port_is_taken_while_it_starts_finds_another(home: Path, whose: str) -> None:
    process = up(home)
    kept = home / "ports.json"
    until(kept.exists, 30, "it has chosen its ports")
    taken = json.loads(kept.read_text())[whose]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", taken))
        listener.listen()
        until(lambda: run_file(home).get("ready"), 80, "weft up is ready")
        assert run_file(home)["addresses"][whose] != f"127.0.0.1:{taken}"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


@pytest.mark.timeout(120)
def test_an_instance_whose_port_was_taken_finds_another(home: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        (home / "ports.json").write_text(json.dumps({"kafka": port}))
        process = up(home)
        until(lambda: run_file(home).get("ready"), 60, "weft up is ready")
        assert run_file(home)["addresses"]["kafka"] != f"127.0.0.1:{port}"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.parametrize("command", ["up", "demo", "setup", "run"])
def test_a_setting_of_a_context_that_does_not_fit_is_said_before_anything_starts(command: str, tmp_path: Path) -> None:
    done = weft(tmp_path, command, WEFT_GATEWAY_TIMEOUT="soon")
    assert (done.returncode, "WEFT_GATEWAY_TIMEOUT" in done.stderr) == (1, True)
    assert not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = weft(tmp_path / "file" / "home", "up")
    assert (done.returncode, "WEFT_HOME" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


def test_a_directory_without_room_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from infra.embedded import instance
    from infra.errors import Unusable

    monkeypatch.setattr(instance.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 5 << 20}))
    with pytest.raises(Unusable, match="5 MiB free"):
        instance.prepare_home(tmp_path)


def test_wipe_removes_nothing_that_is_not_an_instances(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")
    assert weft(tmp_path, "down", "--wipe").returncode == 0
    assert (tmp_path / "thesis.txt").exists()


def test_the_readmes_shop_is_set_up(shop: LiveMesh) -> None:
    for line in block("setup").splitlines():
        done = weft(shop, *shlex.split(line)[1:])
        assert done.returncode == 0 or "already_registered" in done.stdout, line + done.stdout + done.stderr


def test_a_key_is_made_for_every_secret() -> None:
    for kind in ("vault", "token", "push"):
        assert len(weft(None, "key", kind).stdout.strip()) >= 43


@pytest.mark.timeout(200)
def test_the_demo_adds_up_and_leaves_nothing() -> None:
    done = weft(None, "demo", "--orders", "60", patience=180)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "everything adds up" in done.stdout
