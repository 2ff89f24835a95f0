"""The mesh as a value: its contexts, its read models, its messages. Made once, and passed on."""

import importlib
import importlib.util
import os
import pkgutil
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from infra.errors import Unusable, WeftError, nearest
from infra.model.context import Context
from infra.model.needs import IdentityNeeds, Outside, VaultNeeds
from infra.model.own import events, receipts
from infra.model.projection import Projection, read_projection
from infra.wire.avro import RUNTIME_TYPES, Codec
from infra.wire.compatibility import Upcast
from infra.wire.content import withheld
from infra.wire.schemas import NAMESPACE, Locked, Node, Schemas, spelled_out


@dataclass(frozen=True)
class Growth:
    """What became of a context's topics when they were grown: which generation of events topic, how many partitions."""

    generation: int
    partitions: int


@dataclass(frozen=True)
class Vocabulary:
    """Every message of a mesh by name, `<context>.<Type>`, and how it is coded."""

    types: Mapping[str, type]
    schemas: Schemas
    current: Mapping[str, Node]
    upcasts: Mapping[int, Upcast] = field(default_factory=dict)
    locked: Mapping[int, Locked] | None = None  # the ids of a registry, instead of the locks'
    coder: Codec | None = None  # instead of one that is made

    @property
    def ids(self) -> Mapping[int, Locked]:
        """Every schema that was ever written, by its id."""
        return self.schemas.locked() if self.locked is None else self.locked

    @cached_property
    def codec(self) -> Codec:
        return self.coder or Codec(self.types, self.schemas, self.ids, self.upcasts, is_shared=self.locked is not None)


@dataclass(frozen=True)
class Packages:
    """Where the code of a mesh is: what Mesh.of was given. By convention `commands` and `tests` stand beside `schemas`."""

    streams: str
    schemas: str
    projections: str | None


@dataclass(frozen=True)
class Mesh:
    """Every context and read model of one application.

    `source` is where any process finds the same mesh, `module:attribute`: a mesh is pickled as that, the contexts that are
    `others` than its, and what is known of its cluster. `spanning` is the SQL of views over views.
    """

    source: str
    packages: Packages
    contexts: Mapping[str, Context]
    projections: Mapping[str, Projection]
    vocabulary: Vocabulary
    spanning: str = ""
    growth: Mapping[str, Growth] = field(default_factory=dict)
    others: Mapping[str, Context] = field(default_factory=dict)

    @classmethod
    def of(cls, source: str, *, streams: str, schemas: str, projections: str | None = None) -> "Mesh":
        """The mesh of these packages: a context a package in `streams`, a read model a module in `projections`.

        Unusable says what is missing of one that is half made.
        """
        contexts = {name: _context(f"{streams}.{name}") for name in _names(streams)}
        types = {f"{c.name}.{t.__name__}": t for c in contexts.values() for t in (*c.commands, *c.events)}
        known = Schemas(folder(schemas))
        current = {name: known.current(name) for name in (*RUNTIME_TYPES, *types)}
        spelled = {name: spelled_out(schema) for name, schema in current.items()}
        by_type = {t: spelled[name] for name, t in (*types.items(), *RUNTIME_TYPES.items())}
        modules = [imported(f"{projections}.{name}") for name in _names(projections)]
        rows = [read_projection(module, by_type) for module in modules]
        rows += [read_projection(receipts, by_type)]
        rows += [_telling(read_projection(events, by_type), spelled, by_type)]
        spanning = folder(projections) / "analytics.sql" if projections else None
        return cls(
            source,
            Packages(streams, schemas, projections),
            contexts,
            {p.name: p for p in sorted(rows, key=lambda p: p.name)},
            Vocabulary(types, known, current, _upcasts(schemas, contexts)),
            spanning.read_text() if spanning and spanning.exists() else "",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (self.source, dict(self.others), dict(self.growth), self.vocabulary.locked)

    def grown(self, growth: Mapping[str, Growth]) -> "Mesh":
        """The same mesh with these contexts' topics grown."""
        contexts = {
            name: replace(c, generation=growth[name].generation, partitions=growth[name].partitions)
            if name in growth
            else replace(c, generation=1, partitions=None)
            for name, c in self.contexts.items()
        }
        return replace(self, contexts=contexts, growth=dict(growth))

    def with_ids(self, locked: Mapping[int, Locked] | None) -> "Mesh":
        """The same mesh with the schema ids of a registry."""
        return replace(self, vocabulary=replace(self.vocabulary, locked=locked))

    def coded_by(self, codec: Codec) -> "Mesh":
        """The same mesh with another codec of the same messages."""
        return replace(self, vocabulary=replace(self.vocabulary, coder=codec))

    def having(self, context: Context) -> "Mesh":
        """The same mesh with another context of that name."""
        one = {context.name: context}
        return replace(self, contexts={**self.contexts, **one}, others={**self.others, **one})

    @cached_property
    def outside(self) -> Outside:
        """What all of it needs outside."""
        return Outside.of(VaultNeeds, IdentityNeeds, *(c.needs for c in self.contexts.values()))

    @property
    def codec(self) -> Codec:
        """The codec of every message there is."""
        return self.vocabulary.codec

    @property
    def types(self) -> Mapping[str, type]:
        """`<context>.<Type>` of every command and event."""
        return self.vocabulary.types

    def context(self, name: str) -> Context:
        """The context of that name, or a clear error with the names there are."""
        try:
            return self.contexts[name]
        except KeyError:
            raise Unusable(f"there is no context {name!r}; {nearest(name, self.contexts)}") from None

    def projection(self, name: str) -> Projection:
        """The read model of that name, or a clear error with the names there are."""
        try:
            return self.projections[name]
        except KeyError:
            raise Unusable(f"there is no read model {name!r}; {nearest(name, self.projections)}") from None

    @cached_property
    def _owners(self) -> Mapping[type, str]:
        return {t: c.name for c in self.contexts.values() for t in (*c.commands, *c.events)}

    def owner(self, message: type) -> Context:
        """The context that is asked or says `message`."""
        return self.contexts[self._owners[message]]

    def type_name(self, message: type) -> str:
        return f"{self._owners[message]}.{message.__name__}"

    def heard_topics(self, listener: Context) -> list[str]:
        """The events topics a context's policy reads."""
        return sorted({self.owner(event).events_topic for event in listener.hears})

    def listeners(self, speaker: Context) -> list[Context]:
        """The contexts that react to what one says."""
        return [c for c in self.contexts.values() if any(self._owners[event] == speaker.name for event in c.hears)]

    def topics_of(self, projection: Projection) -> list[str]:
        """The events topics a projection reads."""
        return [c.events_topic for c in self.speakers(projection)]

    def speakers(self, projection: Projection) -> list[Context]:
        """The contexts a projection hears."""
        heard = set(projection.events)
        return [c for c in self.contexts.values() if not heard or heard & set(c.events)]

    def home_of(self, projection: Projection) -> str | None:
        """The context a projection reads and runs with, if it is only one."""
        speakers = self.speakers(projection) if projection.events else []
        return speakers[0].name if len(speakers) == 1 else None

    def units(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """(contexts, projections) for the names of contexts and of projections that span contexts; all for no names.

        A context brings the projections of its own events along.
        """
        home = {name: self.home_of(p) for name, p in self.projections.items()}
        spanning = [name for name in home if home[name] is None]
        known = [*self.contexts, *spanning]
        for name in set(names) - set(known):
            raise Unusable(f"there is no context or read model {name!r} to run; {nearest(name, known)}")
        chosen = list(names) or [*self.contexts, *spanning]
        return [n for n in self.contexts if n in chosen], [n for n in home if (home[n] or n) in chosen]

    def subjects(self) -> dict[str, str]:
        """A registry's subject of every message type: `<topic>-<type>`, of the first topic also where that was grown."""
        found = {name: f"{NAMESPACE}-{name}" for name in RUNTIME_TYPES}
        for c in self.grown({}).contexts.values():
            own = [t for t in c.own if t not in c.asked]
            for topic, types in ((c.commands_topic, c.asked), (c.own_topic, own), (c.events_topic, c.events)):
                found |= {name: f"{topic}-{name}" for name in map(self.type_name, types)}
        return found


def load(source: str) -> Mesh:
    """The mesh at `module:attribute`; Unusable if there is none."""
    module, _, attribute = source.partition(":")
    found = getattr(imported(module), attribute or "mesh", None)
    if not isinstance(found, Mesh):
        raise Unusable(
            f"there is no mesh at {source!r}: is the application installed? WEFT_MESH names one as module:attribute"
        )
    return found


def imported(name: str) -> ModuleType:
    """A module of the application; Unusable says which line of whose file keeps it from being imported."""
    with application_code(name):
        return importlib.import_module(name)


@contextmanager
def application_code(name: str) -> Iterator[None]:
    """What a module of the application raises, be it the wish to end this process, is Unusable and names the line."""
    try:
        yield
    except (WeftError, KeyboardInterrupt):
        raise
    except SyntaxError as error:
        raise Unusable(f"{_short(error.filename)}, line {error.lineno}: {error.msg}") from error
    except BaseException as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise Unusable(f"there is no module {name}: is it installed? WEFT_MESH names a mesh elsewhere") from error
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise Unusable(f"{_short(last.filename)}, line {last.lineno}: {type(error).__name__}: {error}") from error


def _short(file: str | None) -> str:
    """The file as somebody names it who works where it is."""
    return os.path.relpath(file) if file and Path(file).is_relative_to(Path.cwd()) else str(file)


def _again(
    source: str, others: dict[str, Context], growth: dict[str, Growth], locked: dict[int, Locked] | None
) -> Mesh:
    mesh = load(source)
    for context in others.values():
        mesh = mesh.having(context)
    return (mesh.with_ids(locked) if locked is not None else mesh).grown(growth)


def folder(package: str) -> Path:
    """Where a package is; Unusable if there is none."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise Unusable(f"there is no package {package}")
    return Path(next(iter(spec.submodule_search_locations)))


def _names(package: str | None) -> list[str]:
    return [m.name for m in pkgutil.iter_modules([str(folder(package))])] if package else []


def _context(package: str) -> Context:
    name = f"{package}.context"
    if importlib.util.find_spec(name) is None:
        raise Unusable(f"{package} is no context: it has no context.py that makes one with bounded_context()")
    found = getattr(imported(name), "context", None)
    if not isinstance(found, Context):
        raise Unusable(f"{name} has no `context`: make it with bounded_context()")
    return found


def _telling(projection: Projection, spelled: Mapping[str, Node], by_type: Mapping[type, Node]) -> Projection:
    """The history of events, telling what these schemas allow: a tag that is added makes its rows anew."""
    kept_back = sorted(f"{name} {fields}" for name, schema in spelled.items() if (fields := withheld(schema)))
    definition = sha256("\n".join([projection.definition, *kept_back]).encode()).hexdigest()
    return replace(projection, project=partial(events.project, schemas=by_type), definition=definition)


def _upcasts(schemas: str, contexts: Mapping[str, Context]) -> dict[int, Upcast]:
    """Every upcast there is, by the id of the schema it reads."""
    found: dict[int, Upcast] = {}
    for context in contexts:
        name = f"{schemas}.{context}.upcasting"
        if importlib.util.find_spec(f"{schemas}.{context}") and importlib.util.find_spec(name):
            found |= imported(name).UPCASTS
    return found
