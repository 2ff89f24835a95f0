"""The simulated process does what a live one does, and no more."""

import asyncio

from infra.testing.node import Node
from infra.testing.world import World
from infra.write.lanes import Delivery, Lanes, Place
from infra.write.owner import Owner
from tests.counter.commands.counter import Add
from tests.counter.story import a_world

C0 = ("counter.commands", 0)  # where c0 belongs


class NotingLanes(Lanes):
    """Note what comes, and whether it is current when it does."""

    def __init__(self, *args: object, **known: object) -> None:
        super().__init__(*args, **known)  # type: ignore[arg-type]
        self.came: list[tuple[Place, list[int], bool]] = []

    def put(self, place: Place, delivery: Delivery) -> None:
        self.came.append((place, [record.offset for record in delivery.records], delivery.is_current()))
        super().put(place, delivery)


class NotingOwner(Owner):
    lanes_kind = NotingLanes


class Noting(Node):
    owner = NotingOwner


def test_what_is_fetched_for_an_older_reading_of_a_place_is_not_current() -> None:
    came: list[bool] = []

    async def story(world: World) -> None:
        # given a process that waits for what comes behind the first command
        world.post(Add(counter_id="c0", amount=1), "add-0")
        await asyncio.sleep(3)
        (node,) = (node for node in world.nodes["counter"] if 0 in node.own.writers)
        # when the place is read from its position again, and another command comes
        await node.reread(C0)
        world.post(Add(counter_id="c0", amount=1), "add-1")
        await asyncio.sleep(3)
        lanes = node.own.lanes
        assert isinstance(lanes, NotingLanes)
        came.extend(is_current for place, offsets, is_current in lanes.came if (place, offsets) == (C0, [1]))

    a_world(0, Noting, gentle=True).play(story)
    # then both readings bring it, and one of them counts
    assert sorted(came) == [False, True]
