"""A fold has a case for every event: the types say so as soon as one is taken away."""

import ast
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import getsource, signature
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from infra.shop.mesh import mesh

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Copy:
    """The source of a module as it is, or without the case that stands at `line`."""

    module: str
    source: str
    line: int = 0
    case: str = "nothing"

    @property
    def file(self) -> str:
        return f"{self.module.replace('.', '_')}_{self.line}.py"

    def __str__(self) -> str:
        return f"{self.module} without {self.case}"


def folds() -> dict[str, Callable[..., Any]]:
    """What folds events of several types, by its module."""
    functions: list[Callable[..., Any]] = [
        a.evolve for c in mesh.contexts.values() for a in c.aggregates if len(a.events) > 1
    ]
    functions += [p.project for p in mesh.projections.values() if len(p.events) > 1]
    return {fold.__module__: fold for fold in functions}


def whole(module: str) -> Copy:
    return Copy(module, getsource(sys.modules[module]))


def mutants(module: str, fold: Callable[..., Any]) -> Iterator[Copy]:
    """The module without each case of each match on the event alone."""
    source, event = whole(module).source, list(signature(fold).parameters)[1]
    for match in ast.walk(ast.parse(source)):
        if isinstance(match, ast.Match) and ast.unparse(match.subject) == event:
            for case in match.cases:
                yield Copy(module, without(case, match, source), case.pattern.lineno, ast.unparse(case.pattern))


def without(case: ast.match_case, match: ast.Match, source: str) -> str:
    lines = source.splitlines()
    rest = [other for other in match.cases if other is not case]
    left = ast.unparse(ast.Match(match.subject, rest)) if rest else "pass"
    return "\n".join([*lines[: match.lineno - 1], indent(left, " " * match.col_offset), *lines[match.end_lineno :], ""])


FOLDS = folds()
WHOLE = [whole(module) for module in FOLDS]
MUTANTS = [mutant for module, fold in FOLDS.items() for mutant in mutants(module, fold)]


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What mypy says of each copy; asked once for all, for it is slow to begin."""
    folder = tmp_path_factory.mktemp("copies")
    for copy in (*WHOLE, *MUTANTS):
        (folder / copy.file).write_text(copy.source)
    options = ["--config-file", "pyproject.toml", "--cache-dir", str(folder / "cache"), "--no-color-output"]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *map(str, folder.glob("*.py"))],
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert not run.stderr
    by_file = defaultdict(list)
    for file, complaint in re.findall(r"^(.+?):\d+: error: (.+)$", run.stdout, re.MULTILINE):
        by_file[Path(file).name].append(complaint)
    return by_file


@pytest.mark.parametrize("module", FOLDS)
def test_a_fold_matches_on_the_event_alone(module: str) -> None:
    assert [mutant for mutant in MUTANTS if mutant.module == module]


@pytest.mark.parametrize("copy", WHOLE, ids=str)
def test_a_fold_type_checks(copy: Copy, complaints: dict[str, list[str]]) -> None:
    assert complaints[copy.file] == []


@pytest.mark.parametrize("copy", MUTANTS, ids=str)
def test_a_fold_that_forgets_an_event_does_not_type_check(copy: Copy, complaints: dict[str, list[str]]) -> None:
    assert complaints[copy.file] == ["Missing return statement  [return]"]
