"""What can be asked of a counter, and what it asks itself."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Add:
    counter_id: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class Empty:
    """Nobody filled it in time, the so-manieth time; asked by the clock, and by whoever is in a hurry."""

    counter_id: str
    filling: int


@dataclass(frozen=True, kw_only=True)
class RecordRing:
    """Asked by the context's own effects: the bell was rung."""

    counter_id: str


@dataclass(frozen=True, kw_only=True)
class Carry:
    """Asked by the context's own policy: another counter was filled."""

    counter_id: str


Asked = Add | Empty
Own = Empty | RecordRing | Carry
CounterCommand = Asked | Own
