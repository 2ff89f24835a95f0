"""Whether orders that are under way are held up by a flood of new ones: seconds a step, without the flood and in it.

A step is the time from one event of an order to its next, as who reads the events topics sees them arrive. Both times the same
number of orders is begun at once and followed until each is paid and its customer told; the second time, the flood is posted
as soon as all of them are placed.
"""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from statistics import median, quantiles

from infra.edge import client
from infra.edge.client import Asked
from infra.errors import Unusable
from infra.kafka import reading
from infra.mesh import Mesh
from infra.read import postgres
from infra.settings import Settings, address
from infra.shop import demo
from infra.shop.demo import wishes
from infra.shop.mesh import mesh as shop
from infra.wire.envelope import CORRELATION, TYPE, is_accepted
from infra.wire.record import Read

UNDER_WAY = 100
PLACED = frozenset({"orders.OrderPlaced"})
DONE = frozenset({"orders.OrderPaid", "notifications.NotificationSent"})
PATIENCE_S = 300.0
SKUS = sorted(set(wishes.PRODUCTS) - {wishes.RARE})

Arrivals = dict[str, list[tuple[float, str]]]  # by order: when each of its events was seen, and its type


def measure(
    settings: Settings, mesh: Mesh, flood: int, keep_alive: Callable[[], None], say: Callable[[str], None]
) -> dict[str, float]:
    """p50 and p99 of the steps in seconds, without the flood and in it. The mesh is at work, and `keep_alive` starts again what died."""
    asyncio.run(_set_up(settings, mesh, flood + 3 * UNDER_WAY, keep_alive))
    result: dict[str, float] = {"flood": flood}
    for name, posted in (("warm", 0), ("calm", 0), ("flooded", flood)):
        arrivals = _follow(settings, mesh, name, posted, keep_alive)
        steps = [later - before for events in arrivals.values() for (before, _), (later, _) in pairwise(events)]
        whole = [events[-1][0] - events[0][0] for events in arrivals.values()]
        if name == "warm":
            continue
        for what, figures in (("step", steps), ("order", whole)):
            cuts = quantiles(figures, n=100)
            result |= {f"{name}_{what}_p50": cuts[49], f"{name}_{what}_p99": cuts[98]}
        say(
            f"{name}: {len(steps)} steps of {UNDER_WAY} orders, median {result[f'{name}_step_p50'] * 1000:.0f} ms, p99 {result[f'{name}_step_p99'] * 1000:.0f} ms; "
            f"from placed to paid and told, median {result[f'{name}_order_p50']:.2f} s, p99 {result[f'{name}_order_p99']:.2f} s"
        )
        for what, seconds in _slowest(arrivals):
            say(f"  {what} takes {seconds:.2f} s (median)")
    result["ratio"] = result["flooded_step_p99"] / result["calm_step_p99"]
    say(f"with {flood:,} new orders behind them the p99 of a step is {result['ratio']:.1f} times as long")
    return result


def _slowest(arrivals: Arrivals, most: int = 3) -> list[tuple[str, float]]:
    """The events that are waited for longest, each with the one before it, and for how long at the median."""
    waits: dict[str, list[float]] = defaultdict(list)
    for events in arrivals.values():
        for (before, one), (later, another) in pairwise(events):
            waits[f"{one} to {another}"].append(later - before)
    medians = {what: median(seconds) for what, seconds in waits.items() if len(seconds) >= len(arrivals) // 10}
    return sorted(medians.items(), key=lambda item: -item[1])[:most]


async def _set_up(s: Settings, mesh: Mesh, orders: int, keep_alive: Callable[[], None]) -> None:
    await demo.set_up(s, mesh, 1, orders)
    async with postgres.connection(postgres.analyst(address(s, "postgres"))) as db, asyncio.timeout(PATIENCE_S):
        while not await db.fetchval(demo.SET_UP, wishes.CUSTOMERS, len(wishes.PRODUCTS)):
            keep_alive()
            await asyncio.sleep(0.2)


def _orders(mesh: Mesh, name: str, count: int) -> Iterator[Asked]:
    for number in range(count):
        order_id = f"{name}-{number:06d}"
        payload = {
            "customer_id": wishes.customer_id(number % wishes.CUSTOMERS),
            "card": "card_ok",
            "currency": wishes.CURRENCY,
            "lines": [
                {"sku": sku, "quantity": 1, "unit_price_minor": wishes.PRODUCTS[sku][0]}
                for sku in (SKUS[number % len(SKUS)], SKUS[(number + 1) % len(SKUS)])
            ],
        }
        yield client.ask(mesh, "orders.PlaceOrder", order_id, json.dumps(payload), order_id)


def _follow(s: Settings, mesh: Mesh, name: str, flood: int, keep_alive: Callable[[], None]) -> Arrivals:
    """Begin the orders that are followed, then the flood; returns when each of them has come to rest."""
    commands, behind = list(_orders(mesh, name, UNDER_WAY)), list(_orders(mesh, f"{name}-flood", flood))
    seen = Seen({command.id for command in commands})
    # posted by a process of its own: posting in this one would have it see late what has arrived
    with reading.opened(s) as reader, ProcessPoolExecutor(1, get_context("spawn")) as aside:
        aside.submit(_post, s, []).result()
        places = reading.partitions_of(reader, [context.events_topic for context in mesh.contexts.values()])
        reading.assign(reader, reading.ends(reader, places))
        for posted, until in ((commands, PLACED), (behind, DONE)):
            posting = aside.submit(_post, s, posted)
            deadline = time.monotonic() + PATIENCE_S
            while not (seen.have_all(until) and posting.done()):
                keep_alive()
                seen.take(reading.poll(reader, 10_000, 0.1)[0])
                if time.monotonic() > deadline:
                    raise Unusable(f"{name}: not all of {UNDER_WAY} orders came to rest in {PATIENCE_S:.0f} s")
            posting.result()
    return seen.arrivals


def _post(settings: Settings, commands: list[Asked]) -> None:
    client.post_all(settings, shop, commands)


class Seen:
    """When which event of these orders arrived."""

    def __init__(self, orders: Collection[str]) -> None:
        self.arrivals: Arrivals = {order: [] for order in orders}

    def take(self, records: Iterable[Read]) -> None:
        now = time.perf_counter()
        for record in records:
            headers = dict(record.headers)
            events = self.arrivals.get((headers.get(CORRELATION) or b"").decode(errors="replace"))
            if events is not None and is_accepted(record):
                events.append((now, (headers[TYPE] or b"").decode()))

    def have_all(self, wanted: frozenset[str]) -> bool:
        return all(wanted <= {kind for _, kind in events} for events in self.arrivals.values())
