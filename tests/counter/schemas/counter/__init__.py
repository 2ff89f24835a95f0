"""What happens to a counter."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Added:
    counter_id: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class Filled:
    """By the same command as the Added in front of it."""

    counter_id: str
    carry_to: str


@dataclass(frozen=True, kw_only=True)
class Rung:
    counter_id: str


@dataclass(frozen=True, kw_only=True)
class Emptied:
    counter_id: str
    lost: int


@dataclass(frozen=True, kw_only=True)
class Carried:
    counter_id: str


CounterEvent = Added | Filled | Rung | Emptied | Carried
