"""What people do with counters, what the outside does for them, and the laws they add."""

from collections import Counter as Tally
from collections.abc import Iterator
from functools import partial
from typing import Any

from infra.testing.laws import LAWS
from infra.testing.node import Node
from infra.testing.simulate import Simulation
from infra.testing.world import World
from infra.wire.envelope import Way
from tests.counter.commands.counter import Add, RecordRing
from tests.counter.mesh import mesh
from tests.counter.schemas.counter import Added, Emptied, Filled, Rung
from tests.counter.streams.counter.decider import PATIENCE_S, Ring


async def ring(world: World, intent: Ring, key: str) -> RecordRing:
    """Now and then a webhook says so too, and before the answer comes."""
    world.done[key] = rung = RecordRing(counter_id=intent.counter_id)
    if world.dice.random() < 0.3:
        world.hear(rung, f"rung-{key}")
        await world.while_(3.0)
    return rung


async def story(world: World) -> None:
    """Some add to a few counters, now and then."""
    counters = world.dice.randint(1, 3)
    for number in range(world.dice.randint(2, 12)):
        where = f"c{world.dice.randrange(counters)}"
        world.post(Add(counter_id=where, amount=world.dice.randint(1, 3)), f"add-{number}")
        await world.while_(2.0)


def a_world(seed: int, node: type[Node] = Node, **known: Any) -> World:
    world = World(mesh, seed, node=node, **known)
    world.outside = {"counter": partial(ring, world)}
    return world


def a_bell_is_rung_once_a_filling(world: World) -> Iterator[str]:
    events = [fact.event for partition in world.partitions() for fact in partition.facts]
    filled = Tally(event.counter_id for event in events if isinstance(event, Filled))
    rung = Tally(event.counter_id for event in events if isinstance(event, Rung))
    bells = Tally(outcome.counter_id for outcome in world.done.values())
    for counter in filled.keys() | rung.keys() | bells.keys():
        if not filled[counter] == rung[counter] == bells[counter]:
            yield f"{counter} was filled {filled[counter]} times, {rung[counter]} say it rang, it rang {bells[counter]} times"


def a_counter_is_not_emptied_too_early(world: World) -> Iterator[str]:
    since: dict[bytes, int] = {}
    for partition in world.partitions():
        for fact in partition.facts:
            if isinstance(fact.event, Added):
                since.setdefault(fact.key, fact.record.timestamp)
            elif isinstance(fact.event, Emptied | Rung):
                begun = since.pop(fact.key, fact.record.timestamp)
                waited = fact.record.timestamp - begun
                is_asked = fact.way is Way.COMMANDS  # by a stranger, who may do so at any time
                if isinstance(fact.event, Emptied) and not is_asked and waited < 1000 * PATIENCE_S:
                    yield f"{fact.place}: emptied after {waited} ms"


ALL = (*LAWS, a_bell_is_rung_once_a_filling, a_counter_is_not_emptied_too_early)
simulation = Simulation(a_world, story, ALL)
