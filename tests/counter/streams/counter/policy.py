"""A counter that was filled carries one to the next, and to the one after that."""

from collections.abc import Iterator

from tests.counter.commands.counter import Carry
from tests.counter.schemas.counter import Filled


def react(event: Filled) -> Iterator[Carry]:
    yield Carry(counter_id=event.carry_to)
    yield Carry(counter_id=f"{event.carry_to}+")
