"""What the README shows is what the program says."""

import re

import pytest

from infra.cli import _register, app
from infra.cli.looking import map_
from infra.shop.mesh import mesh
from tests.readme import CODE, README, ROOT, block


@pytest.mark.parametrize(("file", "shown"), CODE, ids=[file for file, _ in CODE])
def test_the_code_it_shows_is_the_code(file: str, shown: str) -> None:
    lines = iter((ROOT / file).read_text().splitlines())
    assert [line for line in shown.splitlines() if line not in lines] == []


def test_it_shows_a_decider_a_policy_and_a_test() -> None:
    assert len(CODE) == 3
    assert all(len(shown.splitlines()) <= 8 for _, shown in CODE)


def test_the_map_is_what_weft_map_prints(capsys: pytest.CaptureFixture[str]) -> None:
    map_()
    assert block("weft map") == capsys.readouterr().out.rstrip("\n")


def test_every_command_it_names_is_there() -> None:
    _register()
    named = set(
        re.findall(
            r"`?weft (up|down|status|demo|send|receipt|watch|log|sql|mail|map|setup|run|schemas|bench|dead|key|webhooks|rebuild|verify|catalog|export|topics)\b",
            README,
        )
    )
    assert named <= {name for name in app if not name.startswith("-")}


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"`(WEFT_[A-Z_]+)`", README)) - {"WEFT_CACHE"}))
def test_every_variable_it_names_is_a_setting(variable: str) -> None:
    from infra.settings import Settings

    assert variable.removeprefix("WEFT_").lower() in Settings.model_fields


def test_the_saga_it_tells_is_made_of_messages_there_are() -> None:
    story = README[README.index("An order asks stock") : README.index("Each outcome is told")]
    names = {t.__name__ for t in mesh.types.values()}
    assert set(re.findall(r"[A-Z]\w+[a-z]", story)) - {"An"} <= names
