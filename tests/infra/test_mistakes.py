"""What somebody mistyped, or has not written yet, is answered in one line that says where and what to do."""

import gzip
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import asyncpg
import pytest
from cyclopts import App

from infra import cli
from infra.cli.console import guarded
from infra.cli.looking import check
from infra.edge import client
from infra.errors import Unreadable, Unusable
from infra.mesh import imported, load
from infra.model.projection import in_form
from infra.ops import recording
from infra.shop.mesh import mesh
from infra.wire.schemas import Schemas


def test_a_mistyped_command_is_asked_about() -> None:
    with pytest.raises(Unreadable, match=r"did you mean orders\.PlaceOrder\?"):
        client.ask(mesh, "orders.PlaceOrdr", "order-1", "{}")


def test_a_mistyped_context_is_asked_about() -> None:
    with pytest.raises(Unusable, match=r"did you mean orders\?"):
        mesh.context("order")
    with pytest.raises(Unusable, match=r"did you mean sagas\?"):
        mesh.units(["saga"])


def test_a_mistyped_read_model_is_asked_about() -> None:
    with pytest.raises(Unusable, match=r"did you mean receipts\?"):
        mesh.projection("reciepts")


def test_what_is_like_nothing_is_told_all_there_is() -> None:
    with pytest.raises(Unusable, match="there are notifications, orders, payments"):
        mesh.context("xyz")


MODULES = {
    "unclosed": "x = (",
    "needs_more": "import what_nobody_has",
    "undefined": "def f():\n    return y\nf()",
    "leaving": "import sys\nsys.exit()",
    "ending": "raise GeneratorExit",
}
LINES = {"unclosed": 1, "needs_more": 1, "undefined": 2, "leaving": 2, "ending": 1}


@pytest.mark.parametrize(("name", "line"), LINES.items())
def test_a_module_that_cannot_be_imported_is_named_with_the_line(
    name: str, line: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{name}.py").write_text(MODULES[name])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Unusable, match=rf"{name}\.py, line {line}: "):
        imported(name)


def test_a_package_that_cannot_be_imported_is_named_with_the_line_by_who_looks_for_a_mesh_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "departed").mkdir()
    (tmp_path / "departed" / "__init__.py").write_text(MODULES["leaving"])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Unusable, match=r"__init__\.py, line 2: SystemExit: "):
        load("departed.mesh:mesh")


def test_who_interrupts_an_import_interrupts_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "interrupted.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        imported("interrupted")


def test_a_mesh_that_is_not_there_is_told_how_to_name_one() -> None:
    for nothing in ("infra.mesh:mesh", "nowhere:mesh"):
        with pytest.raises(Unusable, match="WEFT_MESH"):
            load(nothing)


def test_a_mesh_that_is_half_made_keeps_every_command_to_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def half_made() -> None:
        raise Unusable("streams.loyalty is no context")

    monkeypatch.setattr(cli, "_register", half_made)
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert capfd.readouterr().err == "streams.loyalty is no context\n"


OF_NO_USE = {
    "half made": MODULES["unclosed"],
    "leaving": MODULES["leaving"],
    "leaving when asked": "import sys\ndef register(app): sys.exit()",
    "failing when asked": "def register(app): app.nothing()",
}


@pytest.mark.parametrize("content", OF_NO_USE.values(), ids=OF_NO_USE.keys())
@pytest.mark.parametrize(("command", "code", "says"), [("down", 0, ""), ("demo", 1, "of_no_use.py, line ")])
def test_a_mesh_that_cannot_be_loaded_keeps_only_its_own_commands_away(
    command: str,
    code: int,
    says: str,
    content: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "of_no_use.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "of_no_use", raising=False)
    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WEFT_MESH", "of_no_use:mesh")
    monkeypatch.setattr(cli, "app", App())
    monkeypatch.setattr(cli, "_register", cli._register.__wrapped__)
    monkeypatch.setattr(cli, "entry_points", lambda **_: [EntryPoint("commands", "of_no_use:register", "weft")])
    monkeypatch.setattr("sys.argv", ["weft", command, *(["--wipe"] if command == "down" else [])])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capfd.readouterr()
    assert (end.value.code, says in said.err, bool(said.out)) == (code, True, command == "down")


def checked(log: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """How `weft schemas check` ends that folds this log, and what it says of what is wrong."""
    code = guarded(lambda: check(log=log))
    return code, capfd.readouterr().err


LOGS = {
    "text": b"no gzip",
    "half": gzip.compress(b'["orders.events", 0]')[:-9],
    "damaged": gzip.compress(bytes(1000))[:12] + b"\xff" * 30,
    "bytes": gzip.compress(b"\xff\xfe"),
    "lines": gzip.compress(b"no JSON\n"),
    "number": gzip.compress(b"7\n"),
    "short": gzip.compress(b'["orders.events", 0]\n'),
    "texts": gzip.compress(b'["orders.events", 0, 0, 0, 1, 2, []]\n'),
    "topics": gzip.compress(b'[7, 0, 0, "now", "", "", []]\n'),
    "headers": gzip.compress(b'["orders.events", 0, 0, 0, "", "", [["name", 7]]]\n'),
}


@pytest.mark.parametrize("content", LOGS.values(), ids=LOGS.keys())
def test_a_file_that_is_no_recorded_log_is_one_line(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.gz").write_bytes(content)
    code, said = checked(tmp_path / "log.gz", capfd)
    assert (code, said.count("\n"), "log.gz is no recorded log: " in said) == (1, 1, True)


def test_a_recorded_log_that_is_not_there_or_a_directory_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for log, why in ((tmp_path / "nothing", "No such file or directory"), (tmp_path, "Is a directory")):
        assert checked(log, capfd) == (1, f"{log} is no recorded log: {why}; `weft schemas record` makes one\n")


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"cannot write .*: Is a directory"):
        recording.write(tmp_path, [])


@pytest.mark.parametrize("torn", ['{"1": {"name"', "[]", '{"1": {}}', '{"one": {}}', '{"1": 7}', "7"])
def test_a_torn_lock_is_named(torn: str, tmp_path: Path) -> None:
    (tmp_path / "lock.json").write_text(torn)
    with pytest.raises(Unusable, match=r"lock\.json is torn: .* Restore it"):
        Schemas(tmp_path).locked()


def test_what_postgres_refuses_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    def refused() -> None:
        raise asyncpg.RaiseError("a token is topic/partition/offset")

    assert guarded(refused) == 1
    assert capfd.readouterr().err == "Postgres refuses: P0001 a token is topic/partition/offset\n"


@pytest.mark.parametrize(
    "line",
    [
        "create or replace view analytics.orders AS SELECT 1;",
        "CREATE VIEW analytics.orders AS SELECT 1;",
        "  CREATE OR REPLACE VIEW analytics.orders AS SELECT 1;",
        "CREATE OR REPLACE VIEW orders AS SELECT 1;",
        "COMMENT ON VIEW analytics.orders IS",
        "COMMENT ON VIEW orders IS 'Orders.';",
    ],
)
def test_sql_in_another_form_is_named_with_its_line(line: str) -> None:
    with pytest.raises(Unusable, match=r"projections/orders\.sql, line 2: write C"):
        in_form(f"CREATE TABLE orders (order_id text);\n{line}\n", "projections/orders.sql")
