"""Rings the bell: whoever runs a counter says how."""

from contextlib import AbstractAsyncContextManager

from infra.model import Perform
from tests.counter.commands.counter import RecordRing
from tests.counter.streams.counter.decider import Ring


def target(intent: Ring) -> str:
    return "bell"


def connect(bell: object) -> AbstractAsyncContextManager[Perform[Ring, RecordRing]]:
    raise NotImplementedError("the bell of a simulated mesh is its own")
