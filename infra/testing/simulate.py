"""python -m infra.testing.simulate MODULE:SIMULATION [--seeds N] [--from N] [--off RULE|all] [--show SEED]

Plays worlds of many seeds and holds them against the laws; a seed that breaks one is told with its schedule, and plays the
same again. With --off, a rule is switched off, and the law it guards has to be seen to break: its first seed is told.
"""

import argparse
import gc
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from infra.testing.laws import Law, broken
from infra.testing.node import Node
from infra.testing.off import RULES, Rule
from infra.testing.world import Story, World

CHUNK = 50
SHOWN = 3


@dataclass(frozen=True)
class Simulation:
    """A kind of world, what happens in it, and what has to hold then."""

    world: Callable[[int, type[Node]], World]
    story: Story
    laws: tuple[Law, ...]

    def play(self, seed: int, node: type[Node] = Node) -> tuple[World, dict[str, list[str]]]:
        """The world of a seed at rest, and what is broken in it by the law's name."""
        world = self.world(seed, node)
        world.play(self.story)
        return world, broken(world, self.laws)


def find(source: str) -> Simulation:
    module, _, name = source.partition(":")
    simulation: Simulation = getattr(importlib.import_module(module), name)
    return simulation


def _play_some(source: str, seeds: range, rule: str | None) -> list[tuple[int, dict[str, list[str]]]]:
    simulation = find(source)
    node = RULES[rule].without if rule else Node
    played = ((seed, simulation.play(seed, node)[1]) for seed in seeds)
    broken_in = [(seed, violations) for seed, violations in played if violations]
    gc.collect()  # by itself it comes late, and a million worlds have to fit
    return broken_in


def search(
    source: str, seeds: range, rule: str | None, processes: int
) -> Iterator[tuple[int, list[tuple[int, dict[str, list[str]]]]]]:
    """(seeds played so far, what was broken in them) as they come, in order."""
    chunks = [seeds[i : i + CHUNK] for i in range(0, len(seeds), CHUNK)]
    with ProcessPoolExecutor(processes) as pool:
        done = 0
        for chunk, violations in zip(chunks, pool.map(_play_some, *_repeated(source, chunks, rule)), strict=True):
            done += len(chunk)
            yield done, violations


def _repeated(source: str, chunks: list[range], rule: str | None) -> tuple[Iterable[Any], ...]:
    return [source] * len(chunks), chunks, [rule] * len(chunks)


def hold(source: str, seeds: range, processes: int) -> int:
    """Play all; 0 if no law was broken."""
    begun = shown = time.monotonic()
    bad: list[tuple[int, dict[str, list[str]]]] = []
    for done, violations in search(source, seeds, None, processes):
        bad += violations
        if time.monotonic() - shown > 10 or done == len(seeds):
            shown = time.monotonic()
            took = shown - begun
            print(f"{done} of {len(seeds)} seeds in {took:.0f} s, {len(bad)} with violations", flush=True)
        if len(bad) >= SHOWN:
            break
    for seed, found in bad[:SHOWN]:
        show(source, seed, found)
    return 1 if bad else 0


def show(source: str, seed: int, violations: dict[str, list[str]] | None = None) -> None:
    """The schedule of a seed, and what it broke."""
    world, again = find(source).play(seed)
    print(f"seed {seed}\n" + "\n".join(world.schedule))
    for law, lines in (violations or again).items():
        print(f"BROKEN {law}: " + "; ".join(lines[:SHOWN]))
    if violations is not None and violations != again:
        print("and it does not play the same again: something in it is not decided by the seed")


def switched_off(source: str, name: str, rule: Rule, seeds: range, processes: int) -> bool:
    """Whether the law that a rule guards is seen to break without it; tells the first seed."""
    for _, violations in search(source, seeds, name, processes):
        for seed, found in violations:
            if rule.breaks in found:
                print(f"{name:12} seed {seed:6}: {rule.breaks}: {found[rule.breaks][0]}", flush=True)
                return True
    print(f"{name:12} NOT CAUGHT in {len(seeds)} seeds: {rule.says} guards {rule.breaks}", flush=True)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--off", help=f"one of {', '.join(RULES)}, or all")
    parser.add_argument("--show", type=int, help="print the schedule of one seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    if given.show is not None:
        show(given.source, given.show)
        return 0
    if given.off is None:
        return hold(given.source, seeds, given.processes)
    names = list(RULES) if given.off == "all" else [given.off]
    if unknown := [name for name in names if name not in RULES]:
        parser.error(f"there is no rule {unknown[0]}; there are {', '.join(RULES)}")
    missed = [n for n in names if not switched_off(given.source, n, RULES[n], seeds, given.processes)]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
