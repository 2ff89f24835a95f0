"""The contexts and projections there are, found by their folders, and the map of who is asked, says and hears what."""

import importlib
import os
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from infra.avro import RUNTIME_TYPES, Codec, Node, schema_of
from infra.compatibility import upcasts
from infra.context import Context
from infra.errors import Unusable
from infra.projection import Projection, read_projection
from infra.registry import Registry


@dataclass(frozen=True)
class Growth:
    """What became of a context's topics when they were grown: which generation of events topic, how many partitions."""

    generation: int
    partitions: int


_grown: dict[str, Growth] = {}


def grown() -> dict[str, Growth]:
    """The contexts whose topics were grown, as far as this process has learnt."""
    return dict(_grown)


def learn(found: Mapping[str, Growth]) -> None:
    """From now on these contexts' topics are the grown ones; to be called before anything is read or written."""
    if dict(found) != _grown:
        _grown.clear()
        _grown.update(found)
        for known in (contexts, owner, home_of):
            known.cache_clear()


@cache
def contexts() -> dict[str, Context]:
    """Every package in streams/, by name."""
    streams = importlib.import_module("streams")
    found: dict[str, Context] = {
        m.name: importlib.import_module(f"streams.{m.name}.app").context for m in pkgutil.iter_modules(streams.__path__)
    }
    for name, growth in _grown.items():
        found[name] = replace(found[name], generation=growth.generation, partitions=growth.partitions)
    return found


@cache
def projections() -> dict[str, Projection]:
    """Every module in projections/, by name."""
    package = importlib.import_module("projections")
    return {
        m.name: read_projection(importlib.import_module(f"projections.{m.name}"))
        for m in pkgutil.iter_modules(package.__path__)
    }


@cache
def owner(message: type) -> Context:
    """The context that is asked or says `message`."""
    return next(context for context in contexts().values() if message in context.commands or message in context.events)


def context(name: str) -> Context:
    """The context of that name, or a clear error with the names there are."""
    try:
        return contexts()[name]
    except KeyError:
        raise Unusable(f"there is no context {name!r}; there are {', '.join(contexts())}") from None


def units(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """(contexts, projections) for the names of contexts and of projections that span contexts; all for no names.

    A context brings the projections of its own events along.
    """
    known, rows = contexts(), projections()
    spanning = [name for name in rows if home_of(name) is None]
    unknown = [name for name in names if name not in known and name not in spanning]
    if unknown:
        raise Unusable(
            f"there is no {', '.join(map(repr, unknown))}; there are the contexts {', '.join(known)} and the read models {', '.join(spanning)}"
        )
    chosen = list(names) or [*known, *spanning]
    return [n for n in known if n in chosen], [n for n in rows if (home_of(n) or n) in chosen]


@cache
def home_of(projection: str) -> str | None:
    """The context a projection reads and runs with, if it is only one."""
    heard = set(projections()[projection].events)
    speakers = [c.name for c in contexts().values() if heard & set(c.events)]
    return speakers[0] if len(speakers) == 1 else None


def heard_topics(listener: Context) -> list[str]:
    """The events topics a context's policy reads."""
    return sorted({owner(event).events_topic for event in listener.hears})


def projection_topics(projection: Projection) -> list[str]:
    """The events topics a projection reads."""
    return [
        c.events_topic
        for c in contexts().values()
        if not projection.events or any(event in c.events for event in projection.events)
    ]


def message_types() -> dict[str, type]:
    """`<context>.<Type>` of every command and event."""
    return {f"{c.name}.{t.__name__}": t for c in contexts().values() for t in (*c.commands, *c.events)}


@cache
def codec() -> Codec:
    """The codec of every message there is; ids come from the registry if there is one, else from the committed lock."""
    registry = schema_registry()
    locked = registry.locked(subjects()) if registry else None
    return Codec(message_types(), locked, upcasts(contexts()))


def schema_registry() -> Registry | None:
    """The registry that SCHEMA_REGISTRY_URL names."""
    url = os.environ.get("SCHEMA_REGISTRY_URL")
    return Registry(url) if url else None


def subjects() -> dict[str, str]:
    """The registry's subject of every message type: `<topic>-<type>`."""
    found = {name: f"weft-{name}" for name in RUNTIME_TYPES}
    for c in contexts().values():
        found |= {f"{c.name}.{t.__name__}": f"{c.commands_topic}-{c.name}.{t.__name__}" for t in c.commands}
        found |= {f"{c.name}.{t.__name__}": f"{c.events_topic}-{c.name}.{t.__name__}" for t in c.events}
    return found


def current_schemas() -> dict[str, Node]:
    """The schema of every message type as the code has it."""
    return {name: schema_of(name) for name in (*RUNTIME_TYPES, *message_types())}


def type_name(message: type) -> str:
    return f"{owner(message).name}.{message.__name__}"


def text_map() -> str:
    """Who is asked what, who says what, who listens to whom."""
    lines: list[str] = []
    for c in contexts().values():
        lines += [
            c.name,
            *_wrap("asked", (t.__name__ for t in c.commands)),
            *_wrap("says", (t.__name__ for t in c.events)),
        ]
        lines += _wrap("hears", (type_name(t) for t in c.hears))
        lines += _wrap("does", ["effects, driven by its state"]) if c.connect else []
        lines.append("")
    lines.append("projections")
    for p in projections().values():
        lines += _wrap(p.name, [type_name(t) for t in p.events] or ["every event"], width=14)
    return "\n".join(lines)


def mermaid_map() -> str:
    """The same as a Mermaid flow chart: an arrow is labelled with what the listener hears."""
    lines = ["flowchart LR"]
    for c in contexts().values():
        lines.append(f"    {c.name}([{c.name}])")
    for c in contexts().values():
        by_speaker: dict[str, list[str]] = {}
        for t in c.hears:
            by_speaker.setdefault(owner(t).name, []).append(t.__name__)
        lines += [f'    {speaker} -- "{"<br/>".join(heard)}" --> {c.name}' for speaker, heard in by_speaker.items()]
    for p in projections().values():
        lines.append(f"    {p.name}_rows[({p.name})]")
        lines += [f"    {topic.partition('.')[0]} --> {p.name}_rows" for topic in projection_topics(p)]
    return "\n".join(lines)


def _wrap(label: str, words: Iterable[str], width: int = 6, limit: int = 108) -> list[str]:
    lines, current = [], f"  {label:{width}} "
    indent = " " * len(current)
    for i, word in enumerate(words):
        piece = word if i == 0 else f", {word}"
        if len(current) + len(piece) > limit:
            lines.append(current + ",")
            current, piece = indent, word
        current += piece
    return [*lines, current]
