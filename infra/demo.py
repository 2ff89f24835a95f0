"""The story `weft demo` tells: orders of all kinds, through every context, and the books at the end."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from statistics import quantiles

import asyncpg
from rich.console import Console
from rich.table import Table

from infra import audit, client, mesh, postgres
from infra.client import Asked, Posted, Poster
from infra.settings import Settings, address
from schemas.orders import OrderCancelled, OrderConfirmed, OrderPlaced

PATIENCE = 60.0  # seconds without any order moving on
SKUS = {"mug": 1250, "tea": 690, "kettle": 4990, "spoon": 350}


def commands(orders: int, seed: int) -> Iterator[Asked]:
    """PlaceOrder for every order: most are paid, some declined, some flaky; some are cancelled at once, some sent twice."""
    codec, dice = mesh.codec(), random.Random(seed)
    for number in range(orders):
        order_id = f"order-{seed}-{number:05d}"
        card = dice.choices(("card_ok", "card_declined", "card_flaky"), (80, 15, 5))[0]
        lines = [
            {"sku": sku, "quantity": dice.randint(1, 3), "unit_price_minor": SKUS[sku]}
            for sku in dice.sample(sorted(SKUS), dice.randint(1, 3))
        ]
        customer = f"customer-{dice.randrange(200):03d}"
        payload = {
            "customer_id": customer,
            "email": f"{customer}@example.org",
            "card": card,
            "currency": dice.choice(("EUR", "USD")),
            "lines": lines,
        }
        place = client.ask(codec, "orders.PlaceOrder", order_id, json.dumps(payload), f"place-{order_id}")
        yield place
        if dice.random() < 0.05:
            yield place
        if dice.random() < 0.05:
            yield client.ask(
                codec,
                "orders.CancelOrder",
                order_id,
                '{"reason": "the customer changed their mind"}',
                f"cancel-{order_id}",
            )


async def tell(
    s: Settings,
    orders: int,
    seed: int,
    say: Callable[[str], None],
    stopping: Callable[[], bool],
    keep_alive: Callable[[], None],
) -> int:
    """Post, wait for every saga to end, show and check; 0 if everything adds up."""
    posted: list[Posted] = []
    poster = Poster(s)
    begun = time.monotonic()
    for asked in commands(orders, seed):
        poster.post(asked, posted.append)
    await asyncio.to_thread(poster.flush)
    say(f"{len(posted)} commands posted for {orders} orders")
    async with postgres.connection(postgres.analyst(address(s, "postgres"))) as db:
        if not await _until_at_rest(db, orders, say, stopping, keep_alive):
            return 1
        took = time.monotonic() - begun
        say(f"all {orders} orders done in {took:.1f} s")
        await _show(db)
    found, wrong = await audit.audit(s)
    placed = sum(isinstance(event, OrderPlaced) for event, _ in found.facts)
    ended = sum(isinstance(event, OrderConfirmed | OrderCancelled) for event, _ in found.facts)
    taken = sum(e["amount_minor"] for e in found.ledger if e["step"] == "capture" and e["outcome"] == "ok")
    if placed != orders:
        wrong = [*wrong, f"{orders} orders were posted, {placed} placed"]
    say(
        f"{len(found.facts)} events read back, {found.voids} void; {placed} orders placed, {ended} ended; {taken} minor units captured by the gateway"
    )
    for line in wrong[:20]:
        say(f"WRONG  {line}")
    say(
        f"{len(wrong)} things do not add up"
        if wrong
        else "everything adds up: log, gateway ledger, mailbox and every projection row"
    )
    return 1 if wrong else 0


async def _until_at_rest(
    db: asyncpg.Connection,
    orders: int,
    say: Callable[[str], None],
    stopping: Callable[[], bool],
    keep_alive: Callable[[], None],
) -> bool:
    moved, seen, shown = time.monotonic(), (-1, ""), 0.0
    while not stopping():
        keep_alive()
        done = await db.fetchval("SELECT count(*) FROM analytics.sagas WHERE step = 'done'")
        receipts = await db.fetchval("SELECT count(*) FROM analytics.receipts")
        if done >= orders and (done, receipts) == seen and time.monotonic() - moved > 0.5:
            return True
        if (done, receipts) != seen:
            moved, seen = time.monotonic(), (done, receipts)
        if time.monotonic() - moved > PATIENCE:
            say(f"nothing has moved for {PATIENCE:.0f} s, {done} of {orders} orders are done; the logs say more")
            return False
        if time.monotonic() - shown > 2:
            shown = time.monotonic()
            say(f"{done} of {orders} orders done")
        await asyncio.sleep(0.1)
    say("stopped before the end")
    return False


async def _show(db: asyncpg.Connection) -> None:
    out = Console(highlight=False)
    rows = await db.fetch("SELECT * FROM analytics.sagas ORDER BY placed_at DESC LIMIT 8")
    table = Table(
        "order",
        "outcome",
        "total",
        "payment",
        "decision",
        "settled",
        "told",
        "reason",
        box=None,
        title="the latest sagas (milliseconds a step)",
        title_justify="left",
    )
    for r in rows:
        steps = (r["payment_ms"], r["decision_ms"], r["settlement_ms"], r["notification_ms"])
        table.add_row(
            r["order_id"],
            r["outcome"],
            f"{r['total_minor'] / 100:.2f} {r['currency']}",
            *("-" if v is None else f"{v:.0f}" for v in steps),
            r["reason"] or "",
        )
    out.print(table)
    books = await db.fetch(
        "SELECT o.status, o.currency, count(*) AS orders, sum(o.total_minor) AS ordered, sum(p.captured_minor) AS captured "
        "FROM analytics.orders o LEFT JOIN analytics.payments p USING (order_id) GROUP BY 1, 2 ORDER BY 1, 2"
    )
    table = Table(
        "status",
        "currency",
        "orders",
        "ordered",
        "captured",
        box=None,
        title="the books, from the read models",
        title_justify="left",
    )
    for r in books:
        table.add_row(
            r["status"],
            r["currency"],
            str(r["orders"]),
            f"{r['ordered'] / 100:.2f}",
            f"{(r['captured'] or 0) / 100:.2f}",
        )
    out.print(table)
    times = [
        float(r["total_ms"]) for r in await db.fetch("SELECT total_ms FROM analytics.sagas WHERE total_ms IS NOT NULL")
    ]
    if len(times) > 1:
        cuts = quantiles(times, n=100)
        out.print(
            f"from order to done: median {cuts[49]:.0f} ms, 99th percentile {cuts[98]:.0f} ms (posted at once, so most of it is waiting in line)"
        )
