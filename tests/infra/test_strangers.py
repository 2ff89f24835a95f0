"""No record stops more than itself: it gets one answer, the cursor passes it, and nobody else notices."""

import pytest

from infra.testing.laws import broken
from infra.testing.strangers import TABLE, Model, record_of
from infra.testing.world import World
from infra.write.reactions import outgoing_command
from tests.counter.commands.counter import Add
from tests.counter.story import ALL, a_world
from tests.infra.counter_log import CODEC

COMMAND = Add(counter_id="c0", amount=1)
RECORD = outgoing_command(CODEC, COMMAND, "model")
MODEL = Model(RECORD.key, RECORD.value or b"", b"counter.Add")


@pytest.mark.parametrize("name", TABLE)
def test_what_is_hostile_is_answered_once_and_the_next_ones_are_decided(name: str) -> None:
    async def story(world: World) -> None:
        # given a hostile record, and commands of the same key and of another one behind it
        world.kafka.append("counter.commands", 0, [record_of(name, MODEL, "hostile")])
        world.post(COMMAND, "same")
        world.post(Add(counter_id="c1", amount=1), "other")

    # when all is decided
    world = a_world(0, gentle=True)
    world.play(story)
    # then each has one answer, and no process has ended
    facts = [fact for partition in world.partitions() for fact in partition.facts if fact.command_offset >= 0]
    answers = [(type(fact.event).__name__, getattr(fact.event, "code", "")) for fact in facts if fact.is_waiting]
    assert answers == [("Rejected", TABLE[name].code)]
    added = [fact.command_id for fact in facts if type(fact.event).__name__ == "Added"]
    assert (sorted(added), world.failures, broken(world, ALL)) == ([b"other", b"same"], [], {})
    assert not any(partition.fold.queues for partition in world.partitions())
