"""What can be asked of a counter, and what it asks itself."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Add:
    counter_id: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class Empty:
    """Asked by the clock: nobody filled it in time, the so-manieth time."""

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


CounterCommand = Add | Empty | RecordRing | Carry
