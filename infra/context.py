"""The shapes a bounded context is made of, and one context as the runtime sees it.

A module *is* a decider, a policy or an adapter: what it does is read from the annotations of its functions, so the
signature is the subscription and nothing is registered.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, get_args, get_type_hints

from infra.settings import Settings

C = TypeVar("C")  # commands of the context
S = TypeVar("S")  # state of its aggregate
I = TypeVar("I")  # noqa: E741  intents: what a state wants of the outside
C_co = TypeVar("C_co", covariant=True)
C_contra = TypeVar("C_contra", contravariant=True)
S_contra = TypeVar("S_contra", contravariant=True)
H_contra = TypeVar("H_contra", contravariant=True)
I_contra = TypeVar("I_contra", contravariant=True)


class Decider(Protocol[C_contra, S]):
    """https://thinkbeforecoding.com/post/2021/12/17/functional-event-sourcing-decider, as a module."""

    initial: S

    def decide(self, command: C_contra, state: S, /) -> Iterator[object]: ...
    def evolve(self, state: S, event: Any, /) -> S: ...


class Policy(Protocol[H_contra, C_co]):
    def react(self, event: H_contra, /) -> Iterator[C_co]: ...


class Perform(Protocol[I_contra, C_co]):
    """Do what an intent wants, once for each key; the outcome is a command, or Unknown is raised."""

    def __call__(self, intent: I_contra, key: str, /) -> Awaitable[C_co]: ...


class Effects(Protocol[S_contra, I, C_co]):
    def pending(self, aggregate_id: str, state: S_contra, /) -> I | None: ...
    def connect(self, settings: Settings, /) -> AbstractAsyncContextManager[Perform[I, C_co]]: ...


@dataclass(frozen=True)
class Context:
    """One bounded context, its types read from its annotations."""

    name: str
    initial: Any
    decide: Callable[[Any, Any], Iterator[Any]]
    evolve: Callable[[Any, Any], Any]
    react: Callable[[Any], Iterator[Any]] | None
    pending: Callable[[str, Any], Any] | None
    connect: Callable[[Settings], AbstractAsyncContextManager[Perform[Any, Any]]] | None
    commands: tuple[type, ...]
    events: tuple[type, ...]
    hears: tuple[type, ...]

    @property
    def commands_topic(self) -> str:
        return f"{self.name}.commands"

    @property
    def events_topic(self) -> str:
        return f"{self.name}.events"

    @property
    def dead_topic(self) -> str:
        return f"{self.name}.dead"


def bounded_context(
    name: str,
    decider: Decider[C, S],
    *,
    policy: Policy[Any, C] | None = None,
    effects: Effects[S, Any, C] | None = None,
) -> Context:
    """Put the modules of one context together."""
    return Context(
        name=name,
        initial=decider.initial,
        decide=decider.decide,
        evolve=decider.evolve,
        react=policy.react if policy else None,
        pending=effects.pending if effects else None,
        connect=effects.connect if effects else None,
        commands=parameter_types(decider.decide, 0),
        events=parameter_types(decider.evolve, 1),
        hears=parameter_types(policy.react, 0) if policy else (),
    )


def parameter_types(function: Callable[..., Any], position: int) -> tuple[type, ...]:
    """The members of the union that annotates a parameter."""
    hints = get_type_hints(function)
    names = [name for name in hints if name != "return"]
    hint = hints[names[position]]
    return get_args(hint) or (hint,)
