"""What import-linter cannot say without naming every context."""

import ast
import re
from pathlib import Path
from typing import Any

import grimp
import pytest

from infra.model.needs import IdentityNeeds, declared
from infra.shop.mesh import CONTEXTS, mesh

graph = grimp.build_graph("commands", "infra", "projections", "schemas", "streams")
tests = grimp.build_graph("tests")


def test_contexts_meet_only_through_events_in_policies_and_projections() -> None:
    contexts = set(mesh.contexts)
    for module in graph.find_descendants("streams") | graph.find_descendants("projections"):
        facet, name, *part = module.split(".")
        for imported in graph.find_modules_directly_imported_by(module):
            of, _, other = imported.partition(".")
            if of == "commands" and other:
                assert facet == "streams" and other == name, f"{module} asks {other}"
            if of == "schemas" and other in contexts - {name}:
                assert facet == "projections" or part == ["policy"], f"{module} hears {other}"


def test_every_context_has_the_same_name_in_every_facet() -> None:
    for name in mesh.contexts:
        assert {f"commands.{name}", f"schemas.{name}", f"streams.{name}", f"projections.{name}"} <= graph.modules


RUNTIME = [file for file in Path("infra").rglob("*.py") if "shop" not in file.parts]


def test_the_runtime_imports_no_context() -> None:
    for module in graph.find_descendants("infra") - graph.find_descendants("infra.shop") - {"infra.shop"}:
        known = graph.find_modules_directly_imported_by(module)
        assert not {m for m in known if m.partition(".")[0] in ("commands", "schemas", "streams", "projections")}, (
            module
        )
        assert not {m for m in known if m.startswith("infra.shop")}, module


@pytest.mark.parametrize("file", RUNTIME, ids=str)
def test_the_runtime_names_no_context_either(file: Path) -> None:
    tree = ast.parse(file.read_text())
    spoken = {id(node.body[0].value) for node in _documented(tree)}  # examples in docstrings
    names = re.compile(rf"\b({'|'.join(CONTEXTS)})\b")  # one that joins may be called by a word that is said here
    strings = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    assert [n.value for n in strings if id(n) not in spoken and names.search(n.value)] == []


@pytest.mark.parametrize("file", RUNTIME, ids=str)
def test_the_runtime_names_nothing_that_a_context_needs_outside(file: Path) -> None:
    needs = {name for context in mesh.contexts.values() for name in declared(context.needs)}
    theirs = re.compile(rf"(?i)\b(weft_)?({'|'.join(needs - set(IdentityNeeds.model_fields))})\b")
    tree = ast.parse(file.read_text())
    spoken = {id(node.body[0].value) for node in _documented(tree)}
    strings = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    assert [n.value for n in strings if id(n) not in spoken and theirs.search(n.value)] == []


def _documented(tree: ast.AST) -> list[Any]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [n for n in ast.walk(tree) if isinstance(n, kinds) and n.body and isinstance(n.body[0], ast.Expr)]


def test_every_module_says_what_it_is() -> None:
    import importlib

    silent = [
        m for m in graph.modules if "__main__" not in m and not (importlib.import_module(m).__doc__ or "").strip()
    ]
    assert silent == []


def test_no_module_of_the_tests_imports_a_test() -> None:
    assert not {module for module in tests.modules if any(map(_is_a_test, _imported_by(module)))}


def _imported_by(module: str) -> set[str]:
    return tests.find_modules_directly_imported_by(module)


ON_THE_SHOP = {"test_growth", "test_write_shop"}  # it may only shrink


def test_what_writes_is_tested_on_the_counter() -> None:
    named = {file.stem: _named(file) for file in Path("tests/infra").glob("*.py")}
    writing = {name: modules for name, modules in named.items() if any(m.startswith("infra.write") for m in modules)}
    assert {name for name, modules in writing.items() if any(map(_of_the_shop, modules))} == ON_THE_SHOP


def _named(file: Path, helpers: str = "tests.infra.") -> set[str]:
    """What a file imports, and what the helpers beside it do."""
    named = {n.module or "" for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.ImportFrom)}
    beside = [file.with_name(f"{m.removeprefix(helpers)}.py") for m in named if m.startswith(helpers)]
    return named.union(*map(_named, beside))


def _of_the_shop(module: str) -> bool:
    facet, _, rest = module.partition(".")
    own = facet == "tests" and rest.partition(".")[0] in (*mesh.contexts, "shop")
    return own or facet in ("commands", "schemas", "streams", "projections") or module.startswith("infra.shop")


def _is_a_test(module: str) -> bool:
    return module.rpartition(".")[2].startswith("test_")


def test_who_opens_an_admin_client_closes_it() -> None:
    left = []
    for file in Path("infra").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        closed = {id(item.context_expr) for n in nodes if isinstance(n, ast.With) for item in n.items}
        calls = [n for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func) in ("AdminClient", "topics.admin")]
        left += [f"{file}:{n.lineno}" for n in calls if id(n) not in closed]
    assert left == []


def test_nobody_asks_an_admin_client_what_ends_the_process() -> None:
    assert [f for f in Path("infra").rglob("*.py") if "list_consumer_group_offsets" in f.read_text()] == []
