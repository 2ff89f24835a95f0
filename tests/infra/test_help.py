"""Every command says what it does, with an example, and what each of its parameters means."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from infra.cli import _register, app

_register()


def commands(of: App, path: str = "weft") -> Iterator[tuple[str, App]]:
    for name in of:
        if not name.startswith("-"):
            yield f"{path} {name}", of[name]
            yield from commands(of[name], f"{path} {name}")


ALL = dict(commands(app))


@pytest.mark.parametrize("path", ALL)
def test_it_has_an_example(path: str) -> None:
    assert f"Example: `{path}" in ALL[path].help or "Example: `WEFT_" in ALL[path].help


@pytest.mark.parametrize("path", [path for path, command in ALL.items() if command.default_command])
def test_every_parameter_has_a_text(path: str) -> None:
    parameters = ALL[path].assemble_argument_collection(parse_docstring=True)
    assert [p.name for p in parameters if p.show and not p.parameter.help] == []


def test_the_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    app("--version", result_action="return_value")
    assert f'version = "{capsys.readouterr().out.strip()}"' in Path("pyproject.toml").read_text()
