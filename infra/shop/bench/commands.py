"""Commands a second through the orders context, against a plain Faust agent with a Table on the same broker."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from statistics import median
from typing import Any

from infra.embedded.instance import environment
from infra.errors import Unusable
from infra.kafka import reading
from infra.settings import Settings, address
from infra.shop.bench import work
from infra.wire.envelope import accepted

PLAIN_SHARE = 5  # the slower of the two gets a fifth of the commands


def compare(settings: Settings, count: int, rounds: int, say: Callable[[str], None]) -> list[dict[str, float]]:
    """Alternate between the two; each round has topics of its own. Raises Unusable when a result is not what it has to be."""
    servers = address(settings, "kafka")
    results = []
    for number in range(rounds):
        suffix = str(number)
        few = max(count // PLAIN_SHARE, 1000)
        c = work.context(suffix)
        work.create(
            servers,
            [
                c.commands_topic,
                c.own_topic,
                c.events_topic,
                c.dead_topic,
                f"plain-{suffix}.commands",
                f"plain-{suffix}.events",
            ],
        )
        work.load(servers, c.commands_topic, count)
        work.load(servers, f"plain-{suffix}.commands", few)
        weft = _measure(settings, "ours", suffix, count)
        faust = _measure(settings, "plain", suffix, few)
        _check(servers, c.events_topic, count, ruled=True)
        _check(servers, f"plain-{suffix}.events", few, ruled=False)
        result = {
            "weft": weft["per_second"],
            "plain": faust["per_second"],
            "ratio": weft["per_second"] / faust["per_second"],
            "weft_cpu_us": weft["cpu_us"],
            "plain_cpu_us": faust["cpu_us"],
        }
        results.append(result)
        say(
            f"round {number + 1}: Weft {result['weft']:,.0f}/s ({result['weft_cpu_us']:.0f} µs CPU), plain Faust {result['plain']:,.0f}/s ({result['plain_cpu_us']:.0f} µs CPU), {result['ratio']:.1f} times"
        )
    return results


def summary(results: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over the rounds, and the range of the ratio."""
    ratios = sorted(result["ratio"] for result in results)
    return {name: median(result[name] for result in results) for name in results[0]} | {
        "ratio_min": ratios[0],
        "ratio_max": ratios[-1],
        "rounds": len(results),
    }


def _measure(settings: Settings, who: str, suffix: str, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", f"infra.shop.bench.{who}", suffix, str(count)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env={**os.environ, **environment(settings)}
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise Unusable(f"{who} did not finish: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(lines[-1])
    return result


def _check(servers: str, topic: str, count: int, *, ruled: bool) -> None:
    client = reading.consumer(servers)
    try:
        places = reading.partitions_of(client, [topic])
        records = [r for batch in reading.read_all(client, {}, reading.ends(client, places)) for r in batch]
    finally:
        client.close()
    keys = [r.key for r in records if not ruled or (r.key and accepted(dict(r.headers), r.offset))]
    if len(keys) != count or len(set(keys)) != count:
        raise Unusable(
            f"{topic} has {len(keys)} events of {len(set(keys))} orders, there have to be {count}: the figure would mean nothing"
        )
