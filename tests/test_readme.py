"""What the README shows is what the program says."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from infra.cli import _register, app
from infra.cli.looking import map_
from infra.model.needs import IdentityNeeds, VaultNeeds
from infra.ops.map import text_map
from infra.settings import Settings
from infra.shop.mesh import mesh
from infra.testing.off import RULES
from infra.wire import inbox
from streams.notifications.decider.customer import UNKNOWN_S
from tests.counter.story import ALL
from tests.readme import CODE, README, ROOT, block, of_the_shop


@pytest.mark.parametrize(("file", "shown"), CODE, ids=[file for file, _ in CODE])
def test_the_code_it_shows_is_the_code(file: str, shown: str) -> None:
    lines = iter((ROOT / file).read_text().splitlines())
    assert [line for line in shown.splitlines() if line not in lines] == []


def test_it_shows_a_decider_a_policy_and_a_test() -> None:
    assert len(CODE) == 3
    assert all(len(shown.splitlines()) <= 8 for _, shown in CODE)


def test_the_map_is_what_weft_map_prints(capsys: pytest.CaptureFixture[str]) -> None:
    map_()
    assert block("weft map") == of_the_shop(capsys.readouterr().out).rstrip("\n")


def test_the_map_is_silent_about_what_a_context_has_not() -> None:
    deaf = replace(mesh.context("products"), hears=())
    _, _, products = text_map(mesh.having(deaf)).partition("\nproducts\n")
    assert "hears" not in products.partition("\n\n")[0]


def test_every_command_it_names_is_there() -> None:
    _register()
    named = set(
        re.findall(
            r"`?weft (up|down|status|demo|send|receipt|watch|log|sql|mail|map|setup|run|schemas|bench|dead|key|webhooks|rebuild|verify|catalog|export|topics|new)\b",
            README,
        )
    )
    assert named <= {name for name in app if not name.startswith("-")}


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"`(WEFT_[A-Z_]+)`", README)) - {"WEFT_CACHE"}))
def test_every_variable_it_names_is_a_setting(variable: str) -> None:
    kinds = (Settings, VaultNeeds, IdentityNeeds, *(context.needs for context in mesh.contexts.values()))
    assert variable.removeprefix("WEFT_").lower() in {name for kind in kinds for name in kind.model_fields}


def test_the_saga_it_tells_is_made_of_messages_there_are() -> None:
    story = README[README.index("An order asks stock") : README.index("Each outcome is told")]
    names = {t.__name__ for t in mesh.types.values()}
    assert set(re.findall(r"[A-Z]\w+[a-z]", story)) - {"An"} <= names


def test_it_names_the_deadline_of_who_is_to_be_told() -> None:
    assert f"waits {UNKNOWN_S // 86_400} days for their registration" in README


@pytest.mark.parametrize("type_name", ["orders.PlaceOrder"])
def test_the_subjects_it_names_are_the_registrys(type_name: str) -> None:
    assert f"`{mesh.subjects()[type_name]}`" in (ROOT / "docs" / "clients.md").read_text()


def test_the_codes_it_names_are_those_of_dead_letters() -> None:
    codes = re.findall(r"rejected as `(\w+)`", (ROOT / "docs" / "clients.md").read_text())
    assert codes and all(f'"{code}"' in Path(inbox.__file__).read_text() for code in codes)


GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text()


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`(tests/\S+?\.py)`", GUARANTEES))))
def test_every_test_that_holds_a_guarantee_is_there(file: str) -> None:
    assert (ROOT / file).is_file()


def test_every_law_and_rule_that_guards_a_guarantee_is_there() -> None:
    rows = [row for row in GUARANTEES.splitlines() if row.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`([a-z_ ]+)`", row.split(" | ")[-1])}
    laws = {law.__name__ for law in ALL}
    assert named - {"weft verify"} <= laws | RULES.keys()
    assert named & laws and named & RULES.keys()
