"""How rows are shown."""

from io import StringIO

import pytest
from rich.console import Console

from infra.cli import querying
from infra.read.query import Answer


def shown(monkeypatch: pytest.MonkeyPatch, names: list[str], rows: list[tuple[object, ...]], *, terminal: bool) -> str:
    screen = StringIO()
    monkeypatch.setattr(querying, "out", Console(file=screen, width=40, force_terminal=terminal, color_system=None))
    querying._say_rows(Answer(names, [], rows), False, False)
    return screen.getvalue()


NAMES, ROW = ["order_id", "reason"], ("order-1", "the customer changed her mind, said she")


def test_in_a_pipe_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "the customer changed her mind, said she" in shown(monkeypatch, NAMES, [ROW], terminal=False)


def test_what_is_wider_than_the_terminal_is_shown_as_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, NAMES, [ROW], terminal=True).splitlines()
    assert lines[0] == "-- 1"
    assert "order_id" in lines[1] and "order-1" in lines[1]
    assert "…" not in "".join(lines)


def test_what_fits_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "-- 1" not in shown(monkeypatch, ["n"], [(1,)], terminal=True)


def test_data_is_never_taken_for_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "[red]" in shown(monkeypatch, ["reason"], [("[red]",)], terminal=True)
