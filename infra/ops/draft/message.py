"""A new command or event: its dataclass, its schema with an id, and its place in the union its decider is annotated with."""

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Literal

from infra.errors import Unusable
from infra.mesh import Mesh
from infra.model.context import Aggregate, Context
from infra.ops.draft.files import Draft
from infra.ops.draft.kept import locked, told
from infra.ops.draft.names import field_name, message_name
from infra.ops.draft.places import places

Kind = Literal["command", "event"]
TYPES = {"str": "string", "int": "long", "bool": "boolean", "float": "double"}


def message(mesh: Mesh, kind: Kind, name: str, described: Sequence[str], of: str | None) -> tuple[Draft, Aggregate]:
    """A message `<context>.<Type>` of an aggregate, with fields such as `reason:str` behind the aggregate's id."""
    place, _, short = name.partition(".")
    context = mesh.context(place)
    aggregate = _aggregate(context, of)
    types = aggregate.commands if kind == "command" else aggregate.events
    content = [(fields(types[0])[0].name, "str"), *map(_field, described)]
    if len(dict(content)) < len(content):
        raise Unusable(f"a field of {name} is there twice; {content[0][0]}, the aggregate's id, is there anyway")
    file = _module(mesh, kind, context.name)
    source = _with(file.read_text(), {t.__name__ for t in types}, message_name(short), _dataclass(short, content))
    new = {mesh.vocabulary.schemas.file(name): _schema(context.name, short, content)}
    return Draft(
        new, {file: source} | locked(mesh, new) | (told(mesh, place, short) if kind == "event" else {})
    ), aggregate


def _aggregate(context: Context, name: str | None) -> Aggregate:
    """The aggregate of that name; none has to be named if there is only one."""
    candidates = [a for a in context.aggregates if name in (None, a.name)]
    if len(candidates) != 1:
        names = ", ".join(a.name for a in context.aggregates)
        raise Unusable(f"{context.name} has several aggregates: say with --aggregate which of {names}")
    return candidates[0]


def _module(mesh: Mesh, kind: Kind, context: str) -> Path:
    where = places(mesh)
    if kind == "command":
        return where["commands"].folder / f"{context}.py"
    return where["schemas"].folder / context / "__init__.py"


def _field(described: str) -> tuple[str, str]:
    name, _, kind = described.partition(":")
    if kind not in TYPES:
        raise Unusable(f"{described!r} is no field: say name:type, where the type is one of {', '.join(TYPES)}")
    return field_name(name), kind


def _dataclass(name: str, content: Sequence[tuple[str, str]]) -> str:
    meaning = re.sub(r"(?<!^)(?=[A-Z])", " ", name).capitalize()
    lines = [f"    {field}: {kind}" for field, kind in content]
    return "\n".join(["@dataclass(frozen=True, kw_only=True)", f"class {name}:", f'    """{meaning}."""', "", *lines])


def _schema(namespace: str, name: str, content: Sequence[tuple[str, str]]) -> str:
    described = [{"name": field, "type": TYPES[kind]} for field, kind in content]
    return json.dumps({"type": "record", "namespace": namespace, "name": name, "fields": described}, indent=2) + "\n"


def _with(source: str, names: set[str], name: str, definition: str) -> str:
    """The source with one definition more, in front of the unions, and its name in the union of those that are known."""
    parsed = ast.parse(source)
    if name in {node.name for node in ast.walk(parsed) if isinstance(node, ast.ClassDef | ast.alias)}:
        raise Unusable(f"there is {name!r} already: choose another name")
    unions = {frozenset(_members(a.value)): a for a in parsed.body if isinstance(a, ast.Assign)}
    union = unions.get(frozenset(names))
    if union is None:
        raise Unusable(f"{name} has no place: there is no union of {', '.join(sorted(names))} to add it to")
    first = min(a.lineno for members, a in unions.items() if names & members or len(members) > 1)
    lines = source.splitlines()
    lines[union.lineno - 1 : union.end_lineno] = [f"{ast.unparse(union)} | {name}"]
    return "\n".join([*lines[: first - 1], definition, "", "", *lines[first - 1 :], ""])


def _members(union: ast.expr) -> list[str]:
    if isinstance(union, ast.BinOp):
        return [*_members(union.left), *_members(union.right)]
    return [union.id] if isinstance(union, ast.Name) else []
