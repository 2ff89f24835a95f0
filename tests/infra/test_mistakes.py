"""What somebody mistyped, or has not written yet, is answered in one line that says where and what to do."""

from importlib.metadata import EntryPoint
from pathlib import Path

import asyncpg
import pytest
from cyclopts import App

from infra import cli
from infra.cli.console import guarded
from infra.edge import client
from infra.errors import Unreadable, Unusable
from infra.mesh import imported, load
from infra.model.projection import in_form
from infra.shop.mesh import mesh


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


MODULES = {"unclosed": "x = (", "needs_more": "import what_nobody_has", "undefined": "def f():\n    return y\nf()"}


@pytest.mark.parametrize(("name", "says"), [("unclosed", "line 1"), ("needs_more", "line 1"), ("undefined", "line 2")])
def test_a_module_that_cannot_be_imported_is_named_with_the_line(
    name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{name}.py").write_text(MODULES[name])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Unusable, match=rf"{name}\.py, {says}: "):
        imported(name)


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


@pytest.mark.parametrize(("command", "code"), [("down", 0), ("demo", 1)])
def test_a_mesh_that_cannot_be_loaded_keeps_only_its_own_commands_away(
    command: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_made.py").write_text(MODULES["unclosed"])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WEFT_MESH", "half_made:mesh")
    monkeypatch.setattr(cli, "app", App())
    monkeypatch.setattr(cli, "_register", cli._register.__wrapped__)
    monkeypatch.setattr(cli, "entry_points", lambda **_: [EntryPoint("commands", "half_made:register", "weft")])
    monkeypatch.setattr("sys.argv", ["weft", command, *(["--wipe"] if command == "down" else [])])
    with pytest.raises(SystemExit, match=str(code)):
        cli.main()


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
