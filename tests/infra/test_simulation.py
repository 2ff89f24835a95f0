"""The simulated mesh: it holds the laws, plays the same again, and sees each rule that is switched off."""

import asyncio
import subprocess
import sys
from functools import partial
from random import Random

import pytest

from infra.errors import Unknown
from infra.kafka.topics import EFFECTS_TOPIC
from infra.testing.laws import broken
from infra.testing.off import RULES, Heedless, OneByOne
from infra.testing.strangers import noise
from infra.testing.world import World
from infra.wire.record import Read
from infra.write.effects import LONGEST_PAUSE_S
from infra.write.tries import MAX_AGE_S, states
from tests.counter.commands.counter import Add, RecordRing
from tests.counter.mesh import mesh
from tests.counter.story import simulation
from tests.counter.streams.counter.decider import Ring
from tests.infra.counter_log import NOW, add, commands, decide, empty, fresh, said

SEEDS = 300
CHUNKS = 6


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_the_laws_hold_whatever_fails(chunk: int) -> None:
    for seed in range(chunk * SEEDS // CHUNKS, (chunk + 1) * SEEDS // CHUNKS):
        world, violations = simulation.play(seed)
        assert violations == {}, f"seed {seed}\n" + "\n".join(world.schedule)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_is_switched_off_is_missed(name: str) -> None:
    rule = RULES[name]
    assert any(rule.breaks in simulation.play(seed, rule.without)[1] for seed in range(2000)), rule.says


def test_noise_is_no_command_whatever_it_is_made_of() -> None:
    asked = commands((add(1), "a"), (empty(2), "b"))
    for seed in range(300):
        record = noise(asked, "noise", Random(seed))
        posted = Read("counter.commands", 0, 0, NOW, record.key, record.value, record.headers)
        assert [name for name, _ in said(decide(fresh(), [posted]))] == ["Rejected"]


def test_who_goes_on_with_a_batch_of_a_partition_it_lost_is_a_zombie_like_any_other() -> None:
    assert all(simulation.play(seed, Heedless)[1] == {} for seed in range(100))


def test_one_append_at_a_time_breaks_nothing_also_in_the_writer_without_that_rule() -> None:
    assert all(simulation.play(seed, OneByOne)[1] == {} for seed in range(100))


PLAYED = """
from tests.counter.story import simulation
for seed in range(40):
    print(*simulation.play(seed)[0].schedule, sep="\\n")
"""


def test_a_seed_plays_the_same_again_in_any_process() -> None:
    played = {
        subprocess.run(
            [sys.executable, "-c", PLAYED], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": h}
        ).stdout
        for h in ("1", "2")
    }
    assert len(played) == 1
    assert played.pop().count("at rest") == 40


def test_what_is_parked_is_tried_again_once_somebody_wants_it() -> None:
    is_there = []

    async def ring(world: World, intent: Ring, key: str) -> RecordRing:
        if not is_there:
            raise Unknown("nobody is there")
        return RecordRing(counter_id=intent.counter_id)

    async def story(world: World) -> None:
        # given a bell that is away for more than a day
        world.post(Add(counter_id="c0", amount=3), "fill")
        await asyncio.sleep(5)
        await world.leap(MAX_AGE_S + LONGEST_PAUSE_S)
        await asyncio.sleep(LONGEST_PAUSE_S)
        # then it is said to be parked, and stays so
        assert [said["parked"] for said in states(world.kafka.log(EFFECTS_TOPIC, 0))] == [1]
        is_there.append(True)
        await world.leap(MAX_AGE_S)
        await asyncio.sleep(LONGEST_PAUSE_S)
        assert not world.done

    world = World(mesh, 1, gentle=True)
    world.outside = {"counter": partial(ring, world)}
    # when somebody wants it again, as the world does at its end
    world.play(story)
    # then the bell is rung, and nothing is said any more
    assert len(world.done) == 1
    assert broken(world) == {}
    assert states(world.kafka.log(EFFECTS_TOPIC, 0)) == []
