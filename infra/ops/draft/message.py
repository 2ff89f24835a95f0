"""A new command or event: its dataclass, its schema with an id, and its place in the union its decider is annotated with."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
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


def message(
    mesh: Mesh, kind: Kind, name: str, described: Sequence[str], of: str | None, *, own: bool = False
) -> tuple[Draft, Aggregate]:
    """A message `<context>.<Type>` of an aggregate, with fields such as `reason:str` behind the aggregate's id.

    `own` is a command that only the context itself asks.
    """
    place, _, short = name.partition(".")
    context = mesh.context(place)
    aggregate = _aggregate(context, of)
    types = aggregate.commands if kind == "command" else aggregate.events
    content = [(fields(types[0])[0].name, "str"), *map(_field, described)]
    if len(dict(content)) < len(content):
        raise Unusable(f"a field of {name} is there twice; {content[0][0]}, the aggregate's id, is there anyway")
    file = _module(mesh, kind, context.name)
    way = ("Own" if own else "Asked") if kind == "command" else None
    source = _with(file.read_text(), {t.__name__ for t in types}, message_name(short), _dataclass(short, content), way)
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


def _with(source: str, known: set[str], name: str, definition: str, way: str | None) -> str:
    """The source with one definition more, in front of the unions, and its name in the union of those that are known.

    A command is in the union `way` too: what anybody asks, or what its context does.
    """
    parsed = ast.parse(source)
    if name in {node.name for node in ast.walk(parsed) if isinstance(node, ast.ClassDef | ast.alias)}:
        raise Unusable(f"there is {name!r} already: choose another name")
    assigned = [a for a in parsed.body if isinstance(a, ast.Assign)]
    members = {a.targets[0].id: _members(a.value) for a in assigned if isinstance(a.targets[0], ast.Name)}
    unions = {union: _types(union, members) for union in members}
    if known not in unions.values():
        raise Unusable(f"{name} has no place: there is no union of {', '.join(sorted(known))} to add it to")
    if way is not None and way not in unions:
        raise Unusable(f"{name} has no place: there is no union {way}; write one, and give it to bounded_context()")
    whole = [union for union, types in unions.items() if types == known and way not in (union, *members[union])]
    wider = {way, *whole[:1]} - {None}
    lines = source.splitlines()
    first = min(a.lineno for a in assigned if set(_members(a.value)) & {*known, *unions})
    for a in reversed(assigned):
        if isinstance(a.targets[0], ast.Name) and a.targets[0].id in wider:
            lines[a.lineno - 1 : a.end_lineno] = [f"{ast.unparse(a)} | {name}"]
    return "\n".join([*lines[: first - 1], definition, "", "", *lines[first - 1 :], ""])


def _types(union: str, members: Mapping[str, list[str]]) -> set[str]:
    """The types in a union, also those of the unions in it."""
    return {t for member in members[union] for t in (_types(member, members) if member in members else {member})}


def _members(union: ast.expr) -> list[str]:
    if isinstance(union, ast.BinOp):
        return [*_members(union.left), *_members(union.right)]
    return [union.id] if isinstance(union, ast.Name) else []
