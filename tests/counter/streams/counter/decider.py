"""How a counter decides: filled at three, empty again once the bell is rung or time is up."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from infra import Due, Refused
from tests.counter.commands.counter import Add, Carry, CounterCommand, Empty, RecordRing
from tests.counter.schemas.counter import Added, Carried, CounterEvent, Emptied, Filled, Rung

FULL = 3
PATIENCE_S = 5
MOST_CARRIED = 3


@dataclass(frozen=True)
class Counter:
    """`filling` counts how often it was empty: a deadline is for one filling, and may come late."""

    value: int = 0
    carried: int = 0
    filling: int = 0


@dataclass(frozen=True)
class Ring:
    counter_id: str


initial = Counter()


def decide(command: CounterCommand, counter: Counter) -> Iterator[CounterEvent | Refused]:
    counter_id = command.counter_id
    match command:
        case Add() if counter.value >= FULL:
            yield Refused(code="full", reason=f"{counter_id} is full until the bell is rung")
        case Add() if command.amount < 1:
            yield Refused(code="bad_amount", reason="at least 1 is added")
        case Add():
            yield Added(counter_id=counter_id, amount=command.amount)
            if counter.value + command.amount >= FULL:
                yield Filled(counter_id=counter_id, carry_to=f"{counter_id}+")
        case RecordRing() if counter.value >= FULL:
            yield Rung(counter_id=counter_id)
        case Empty() if 0 < counter.value < FULL and command.filling == counter.filling:
            yield Emptied(counter_id=counter_id, lost=counter.value)
        case Carry() if counter.carried < MOST_CARRIED:
            yield Carried(counter_id=counter_id)


def evolve(counter: Counter, event: CounterEvent) -> Counter:
    match event:
        case Added():
            return replace(counter, value=counter.value + event.amount)
        case Filled():
            return counter
        case Rung() | Emptied():
            return replace(counter, value=0, filling=counter.filling + 1)
        case Carried():
            return replace(counter, carried=counter.carried + 1)


def pending(counter_id: str, counter: Counter) -> Ring | None:
    """A full counter wants its bell rung."""
    return Ring(counter_id) if counter.value >= FULL else None


def due(counter_id: str, counter: Counter) -> Due | None:
    """A counter nobody fills is emptied, so long after it was first added to."""
    late = Empty(counter_id=counter_id, filling=counter.filling)
    return Due(PATIENCE_S, late) if 0 < counter.value < FULL else None
