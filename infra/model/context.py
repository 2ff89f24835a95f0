"""The shapes a bounded context is made of, and one context as the runtime sees it.

A module *is* a decider, a policy or an adapter: what it does is read from the annotations of its functions, so the
signature is the subscription and nothing is registered.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from inspect import isfunction
from types import NoneType
from typing import Any, Never, Protocol, TypeVar, get_args, get_type_hints

from infra.errors import Unusable
from infra.messages import Due
from infra.model.needs import Variables
from infra.settings import Settings

S = TypeVar("S")  # state of an aggregate
C_co = TypeVar("C_co", covariant=True)
C_contra = TypeVar("C_contra", contravariant=True)
H_contra = TypeVar("H_contra", contravariant=True)
I_contra = TypeVar("I_contra", contravariant=True)
N = TypeVar("N", bound=Variables)
N_contra = TypeVar("N_contra", bound=Variables, contravariant=True)


class Decider(Protocol[C_contra, S]):
    """https://thinkbeforecoding.com/post/2021/12/17/functional-event-sourcing-decider, as a module."""

    initial: S

    def decide(self, command: C_contra, state: S, /) -> Iterator[object]: ...
    def evolve(self, state: S, event: Any, /) -> S: ...


class Policy(Protocol[H_contra, C_co]):
    def react(self, event: H_contra, /) -> Iterator[C_co]: ...


def _freely(part: str) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One of the times that what an intent wants is tried.

    `key` is the same each time, and that of no other intent, also of a topic that was made anew: who is asked again under it
    answers as before, as long as they remember. `age_s` is how many seconds ago the intent was opened; `is_doubtful` says that
    it was tried before, and that nobody knows what came of that. `through(part)` is for targets that are many, such as hosts:
    within it a part is asked that has a circuit breaker of its own; it raises Unknown at once while that is open.
    """

    key: str
    age_s: float = 0.0
    is_doubtful: bool = False
    through: Callable[[str], AbstractContextManager[None]] = _freely


class Perform(Protocol[I_contra, C_co]):
    """Do what an intent wants, once for each key; the outcome is a command for whoever wants it.

    Unknown says that nobody knows yet whether it was done: it is tried again, as after any error that nobody planned for.
    """

    def __call__(self, intent: I_contra, attempt: Attempt, /) -> Awaitable[C_co]: ...


class Effects(Protocol[I_contra, C_co, N_contra]):
    """What a context does outside. `target` names whom an intent needs: each has a circuit breaker of its own.

    `hear(needs, headers, body)` is an optional function: what a webhook says, as (command id, command) or None. So is
    `give_up(intent, reason)`: the outcome of what nobody tries any more.
    """

    def target(self, intent: I_contra, /) -> str: ...
    def connect(self, needs: N_contra, /) -> AbstractAsyncContextManager[Perform[I_contra, C_co]]: ...


@dataclass(frozen=True)
class Aggregate:
    """One kind of aggregate of a context: a decider, and what its states want of the outside and of the clock.

    `pending(aggregate_id, state)` and `due(aggregate_id, state)` are optional functions of the decider's module.
    """

    name: str
    initial: Any
    decide: Callable[[Any, Any], Iterator[Any]]
    evolve: Callable[[Any, Any], Any]
    pending: Callable[[str, Any], Any] | None
    due: Callable[[str, Any], Due | None] | None
    commands: tuple[type, ...]
    events: tuple[type, ...]


@dataclass(frozen=True)
class Context:
    """One bounded context, its types read from its annotations; `asked` by anybody, `own` is what it asks itself."""

    name: str
    aggregates: tuple[Aggregate, ...]
    asked: tuple[type, ...]
    own: tuple[type, ...]
    react: Callable[[Any], Iterator[Any]] | None
    connect: Callable[[Any], AbstractAsyncContextManager[Perform[Any, Any]]] | None
    target: Callable[[Any], str]
    hear: Callable[[Any, Mapping[str, str], bytes], tuple[str, Any] | None] | None
    give_up: Callable[[Any, str], Any] | None
    needs: type[Variables]
    hears: tuple[type, ...]
    generation: int = 1  # of its events topic, which grows into another one
    partitions: int | None = None  # of its topics, once they were grown

    @cached_property
    def commands(self) -> tuple[type, ...]:
        return tuple(t for a in self.aggregates for t in a.commands)

    @cached_property
    def events(self) -> tuple[type, ...]:
        return tuple(t for a in self.aggregates for t in a.events)

    def partition_count(self, settings: Settings) -> int:
        """Of its topics: what they were grown to, else what topics are created with."""
        return self.partitions or settings.partitions

    @property
    def group(self) -> str:
        """The consumer group of its workers."""
        return f"weft.{self.name}"

    @property
    def commands_topic(self) -> str:
        return f"{self.name}.commands"

    @property
    def own_topic(self) -> str:
        return f"{self.name}.own"

    @property
    def events_topic(self) -> str:
        return f"{self.name}.events" + (f".{self.generation}" if self.generation > 1 else "")

    @property
    def dead_topic(self) -> str:
        return f"{self.name}.dead"


def bounded_context(
    name: str,
    *deciders: Decider[Any, Any],
    asked: object = Never,
    own: object = Never,
    policy: Policy[Any, object] | None = None,
    effects: Effects[Any, object, N] | None = None,
    needs: type[N] | None = None,
) -> Context:
    """Put the modules of one context together: a decider for each kind of aggregate, a policy, an adapter and its needs.

    `asked` is the union of the commands that anybody may post, `own` of those that only the context itself does: what its
    policy, its effects and its deadlines ask. Unusable names a command that is in neither, a function that nobody would
    call (`pendng`), and an intent that nobody performs.
    """
    for decider in deciders:
        _only(decider, "decide", "evolve", "pending", "due")
    _only(policy, "react")
    _only(effects, "target", "connect", "hear", "give_up")
    _performed(name, deciders, effects)
    aggregates = tuple(map(_aggregate, deciders))
    _posted(name, aggregates, _members(asked), _members(own))
    return Context(
        name=name,
        aggregates=aggregates,
        asked=_members(asked),
        own=_members(own),
        react=policy.react if policy else None,
        connect=effects.connect if effects else None,
        target=effects.target if effects else partial(_itself, name),
        hear=getattr(effects, "hear", None),
        give_up=getattr(effects, "give_up", None),
        needs=needs or Variables,
        hears=parameter_types(policy.react, 0) if policy else (),
    )


def _itself(name: str, intent: object) -> str:
    return name


def _only(module: object, *functions: str) -> None:
    """What is optional is found by its name, so a public function of another name is a misspelt one, or a helper's."""
    name = getattr(module, "__name__", "")
    public = (
        {n for n, f in vars(module).items() if isfunction(f) and f.__module__ == name and n[0] != "_"}
        if module
        else set()
    )
    for function in sorted(public - {*functions}):
        raise Unusable(
            f"{name} has a function {function}(), which nobody calls: it has {', '.join(functions)}, and helpers begin with _"
        )


def _posted(name: str, aggregates: Sequence[Aggregate], asked: tuple[type, ...], own: tuple[type, ...]) -> None:
    decided = {t for a in aggregates for t in a.commands}
    for command in sorted(decided - {*asked, *own}, key=repr):
        raise Unusable(f"nobody may ask {command.__name__} of {name}: put it into its `asked`, its `own`, or both")
    for command in sorted({*asked, *own} - decided, key=repr):
        raise Unusable(f"{name} may be asked {command.__name__}, and none of its deciders takes it")


def _performed(name: str, deciders: Sequence[Decider[Any, Any]], effects: Effects[Any, object, Any] | None) -> None:
    wanted = {t for d in deciders if hasattr(d, "pending") for t in _members(get_type_hints(d.pending).get("return"))}
    handled = set(parameter_types(effects.target, 0)) if effects else set()
    for intent in sorted(wanted - handled - {NoneType}, key=repr):
        raise Unusable(
            f"{name} wants {intent.__name__} of the outside, and `target` and `perform` of its effects do not take it"
        )


def _aggregate(decider: Decider[Any, Any]) -> Aggregate:
    return Aggregate(
        name=str(getattr(decider, "__name__", "")).rpartition(".")[2],
        initial=decider.initial,
        decide=decider.decide,
        evolve=decider.evolve,
        pending=getattr(decider, "pending", None),
        due=getattr(decider, "due", None),
        commands=parameter_types(decider.decide, 0),
        events=parameter_types(decider.evolve, 1),
    )


def parameter_types(function: Callable[..., Any], position: int) -> tuple[type, ...]:
    """The members of the union that annotates a parameter."""
    hints = get_type_hints(function)
    names = [name for name in hints if name != "return"]
    return _members(hints[names[position]])


def _members(hint: Any) -> tuple[type, ...]:
    return () if hint is Never else get_args(hint) or (hint,)
