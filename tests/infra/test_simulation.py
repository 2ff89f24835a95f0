"""The simulated mesh: it holds the laws, plays the same again, and sees each rule that is switched off."""

import subprocess
import sys
from random import Random

import pytest

from infra.testing.off import RULES, Heedless, OneByOne
from infra.testing.strangers import noise
from infra.wire.record import Read
from tests.counter.story import simulation
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
