"""How rows are asked for, and shown."""

from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from pyarrow import parquet
from rich.console import Console

from infra.cli import querying
from infra.errors import Unreadable, Unusable
from infra.read.query import Answer, token, write_parquet
from infra.shop.mesh import mesh


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


def test_times_are_shown_to_the_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 11, 1, 12, 0, 0, 250_999, UTC)
    assert "2026-11-01 12:00:00.250" in shown(monkeypatch, ["at"], [(at,)], terminal=True)


def test_a_sum_in_parquet_is_a_number_to_whoever_reads_it(tmp_path: Path) -> None:
    answer = Answer(["total", "none"], ["numeric", "numeric"], [(Decimal("1380"), None), (Decimal("0.5"), None)])
    write_parquet(tmp_path / "sums.parquet", answer)
    table = parquet.read_table(tmp_path / "sums.parquet")
    assert [str(field.type) for field in table.schema] == ["double", "double"]
    assert table.to_pydict() == {"total": [1380.0, 0.5], "none": [None, None]}


@pytest.mark.parametrize("text", ["orders.events/0/42", "orders.events.2/11/0"])
def test_a_version_token_is_taken_as_it_is(text: str) -> None:
    assert token(mesh, text) == text


@pytest.mark.parametrize("text", ["foo", "", "orders.events/0", "orders.events/0/x", "orders/0/42"])
def test_what_is_no_version_token_is_told_so(text: str) -> None:
    with pytest.raises(Unreadable, match="last_event_id"):
        token(mesh, text)


def test_a_token_of_a_topic_nobody_has_is_told_so() -> None:
    with pytest.raises(Unusable, match=r"did you mean orders\?"):
        token(mesh, "order.events/0/42")
