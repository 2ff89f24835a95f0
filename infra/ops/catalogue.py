"""Everything there is to read or to ask, with what it means and whose it is: read from the code, so that it cannot be out of date.

Meanings are where the thing is: the docstring of a message, of a field's type in its schema, the COMMENT ON of a view's column.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from infra.kafka import topics
from infra.mesh import Mesh
from infra.model.context import Context
from infra.model.projection import COMMENT, MADE
from infra.read import analytics
from infra.settings import Settings

TOPICS = {
    "commands": "What {0} is asked; anybody may post.",
    "own": "What {0} asks itself: what its policy, its effects and its deadlines want. Nobody else may write here.",
    "events": "What happened in {0}; the truth, never deleted. A record counts if and only if it landed at the offset its writer expected.",
    "dead": "Commands of {0} that could not be processed, and those that wait behind them.",
}


@dataclass(frozen=True)
class Entry:
    """One thing: a topic, command, event, projection, view or function. `fields` maps a name to its type and meaning."""

    kind: str
    name: str
    owner: str
    meaning: str
    fields: dict[str, tuple[str, str]] = field(default_factory=dict)
    heard_by: list[str] = field(default_factory=list)
    schema_id: int | None = None


def entries(settings: Settings, mesh: Mesh) -> list[Entry]:
    """The whole catalogue: topics, messages, projections, and what analysts query."""
    found: list[Entry] = []
    for c in mesh.contexts.values():
        found += _topics(mesh, c, settings)
        found += [_message("command", mesh, c, t) for t in c.commands]
        found += [_message("event", mesh, c, t) for t in c.events]
    for p in mesh.projections.values():
        reads = [mesh.type_name(event) for event in p.events] or ["every event"]
        meaning = re.sub(r"\s+", " ", p.meaning.partition("\n\n")[0])
        found.append(Entry("projection", p.name, mesh.home_of(p) or "the read side", meaning, heard_by=reads))
        found += views(p.views, mesh.home_of(p) or "the read side")
    return [*found, *views(analytics.spanning(mesh) + analytics.FRESHNESS, "the read side")]


def _topics(mesh: Mesh, c: Context, settings: Settings) -> Iterator[Entry]:
    for topic in topics.configs(c, settings):
        is_asked = topic in (c.commands_topic, c.own_topic)
        kept = f"until decided, and {settings.decided_days} days more" if is_asked else "for ever"
        readers = [other.name for other in mesh.contexts.values() if topic in mesh.heard_topics(other)]
        readers += [p.name for p in mesh.projections.values() if topic in mesh.topics_of(p)]
        meaning = TOPICS[topic.split(".")[1]].format(c.name)
        yield Entry("topic", topic, c.name, f"{meaning} Kept {kept}.", heard_by=readers)


def _message(kind: str, mesh: Mesh, c: Context, t: type) -> Entry:
    name = mesh.type_name(t)
    fields = dict(_fields(mesh.codec.schemas[name]))
    listeners = [other.name for other in mesh.contexts.values() if t in other.hears]
    listeners += [p.name for p in mesh.projections.values() if t in p.events]
    doc = t.__doc__ or ""
    meaning = "" if doc.startswith(f"{t.__name__}(") else re.sub(r"\s+", " ", doc.strip())
    return Entry(kind, name, c.name, meaning, fields, listeners, mesh.codec.schema_id(t))


def _fields(schema: Any, within: str = "") -> Iterator[tuple[str, tuple[str, str]]]:
    """The fields of a record, those of the records in it with a dot: a tag stands at any of them."""
    for f in schema["fields"]:
        name, kind = within + f["name"], f["type"]
        yield name, (_type(kind), f"names a person: {f['pii']}" if "pii" in f else "")
        inner = kind.get("items", kind) if isinstance(kind, dict) else None
        if isinstance(inner, dict) and "fields" in inner:
            yield from _fields(inner, f"{name}.")


def _type(schema: Any) -> str:
    if isinstance(schema, list):
        return " or ".join(map(_type, schema))
    if isinstance(schema, dict):
        inner = schema.get("items") or schema.get("values")
        return (
            f"{schema['type']} of {_type(inner)}"
            if inner
            else str(schema.get("name") or schema.get("logicalType") or schema["type"])
        )
    return str(schema)


def views(sql: str, owner: str) -> list[Entry]:
    """The views and functions that a piece of SQL makes, with what its comments say of them and their columns."""
    said = {(kind, name): text.replace("''", "'") for kind, name, text in COMMENT.findall(sql)}
    found = []
    for kind, full in MADE.findall(sql):
        name = full.partition(".")[2]
        columns = {
            c.partition(".")[2]: ("", text)
            for (k, c), text in said.items()
            if k == "COLUMN" and c.startswith(f"{name}.")
        }
        found.append(Entry(kind.lower(), name, owner, said.get((kind, name), ""), columns))
    return found
