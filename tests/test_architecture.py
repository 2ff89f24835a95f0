"""What import-linter cannot say without naming every context."""

import grimp

from infra import mesh

graph = grimp.build_graph("commands", "infra", "projections", "schemas", "streams")


def test_contexts_meet_only_through_events_in_policies_and_projections() -> None:
    contexts = set(mesh.contexts())
    for module in graph.find_descendants("streams") | graph.find_descendants("projections"):
        facet, name, *part = module.split(".")
        for imported in graph.find_modules_directly_imported_by(module):
            of, _, other = imported.partition(".")
            if of == "commands" and other:
                assert facet == "streams" and other == name, f"{module} asks {other}"
            if of == "schemas" and other in contexts - {name}:
                assert facet == "projections" or part == ["policy"], f"{module} hears {other}"


def test_every_context_has_the_same_name_in_every_facet() -> None:
    for name in mesh.contexts():
        assert {f"commands.{name}", f"schemas.{name}", f"streams.{name}", f"projections.{name}"} <= graph.modules


def test_the_runtime_names_no_context() -> None:
    story = {"infra.demo", "infra.demo.wishes", "infra.laws"}  # the demo and its checks are about the shop
    for module in graph.find_descendants("infra") - story:
        known = graph.find_modules_directly_imported_by(module)
        assert not {m for m in known if m.partition(".")[2] in mesh.contexts()}, module


def test_every_module_says_what_it_is() -> None:
    import importlib

    silent = [
        m for m in graph.modules if "__main__" not in m and not (importlib.import_module(m).__doc__ or "").strip()
    ]
    assert silent == []
