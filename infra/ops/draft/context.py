"""The first version of a context: one command, one event, what decides, what can be queried, and tests of all of it.

The files are in templates/: `context` is a whole one, `hearing` is what differs for one that reacts to another's event.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from string import Template

from infra.errors import Unusable
from infra.mesh import Mesh
from infra.ops import catalogue
from infra.ops.draft.files import Draft
from infra.ops.draft.kept import locked, told
from infra.ops.draft.names import aggregate_name, camel, context_name
from infra.ops.draft.places import Place, places
from infra.settings import Settings

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".template"
EXAMPLES = {"string": '"some"', "long": "1", "boolean": "True", "double": "1.0"}


def context(settings: Settings, mesh: Mesh, name: str, aggregate: str, heard: str | None) -> Draft:
    """A context of this name, about aggregates of that name; it asks itself for one whenever it hears the event `heard`."""
    _is_free(context_name(name), settings, mesh)
    where = places(mesh)
    words = _words(where, name, aggregate_name(aggregate)) | (_hearing(mesh, heard, aggregate) if heard else {})
    kinds = ("context", "hearing") if heard else ("context",)
    new = {file: text for kind in kinds for file, text in _filled(kind, where, words).items()}
    return Draft(new, locked(mesh, new) | told(mesh, name, f"{camel(aggregate)}Registered"))


def _is_free(name: str, settings: Settings, mesh: Mesh) -> None:
    names = {entry.name for entry in catalogue.entries(settings, mesh)} | mesh.contexts.keys()
    for wanted in (name, f"{name}_events"):  # the view of its history
        if wanted in names:
            raise Unusable(f"there is {wanted!r} already: choose another name")


def _words(where: Mapping[str, Place], name: str, aggregate: str) -> dict[str, str]:
    """What stands for what in the templates."""
    packages = {facet: place.package for facet, place in where.items()}
    columns = {"key": f"{aggregate}_id", "remark": "note", "moment": "registered_at"}
    width = max(map(len, columns.values()))
    names = {"context": name, "Context": name.replace("_", " ").capitalize()}
    names |= {"aggregate": aggregate, "Aggregate": camel(aggregate), "spoken": aggregate.replace("_", " ")}
    return packages | {word: column.ljust(width) for word, column in columns.items()} | names


def _hearing(mesh: Mesh, heard: str, aggregate: str) -> dict[str, str]:
    """What is asked for whenever the event is heard: one of the event's id, with its note if it has one."""
    event = _event(mesh, heard)
    first, *others = mesh.vocabulary.current[heard]["fields"]
    has_note = {"name": "note", "type": "string"} in others
    examples = {f["name"]: EXAMPLES.get(str(f["type"]), "()") for f in others}
    return {
        "speaker": mesh.owner(event).name,
        "Heard": event.__name__,
        "heard_id": first["name"],
        "asked": f"{aggregate}_id=event.{first['name']}" + (", note=event.note" if has_note else ""),
        "note": ", note=heard.note" if has_note else "",
        "example": ", ".join([f'{first["name"]}="{aggregate}-1"', *(f"{n}={value}" for n, value in examples.items())]),
    }


def _event(mesh: Mesh, name: str) -> type:
    events = {mesh.type_name(event): event for c in mesh.contexts.values() for event in c.events}
    if name not in events:
        close = difflib.get_close_matches(name, events, 1)
        hint = f"did you mean {close[0]}?" if close else "`weft map` shows what each says"
        raise Unusable(f"no context says {name!r}; {hint}")
    return events[name]


def _filled(kind: str, where: Mapping[str, Place], words: Mapping[str, str]) -> dict[Path, str]:
    """The files of one kind of template; a folder of it is a facet, CONTEXT and AGGREGATE stand for the names."""
    files = {}
    for template in sorted((TEMPLATES / kind).rglob(f"*{SUFFIX}")):
        facet, _, path = template.relative_to(TEMPLATES / kind).as_posix().removesuffix(SUFFIX).partition("/")
        named = path.replace("CONTEXT", words["context"]).replace("AGGREGATE", words["aggregate"])
        files[where[facet].folder / named] = Template(template.read_text()).substitute(words)
    return files
