"""The story `weft demo` tells: orders of all kinds, through every context, and the books at the end."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import quantiles

import aiohttp
from rich.console import Console
from rich.table import Table

from infra.edge import client
from infra.edge.client import Asked, Wish
from infra.mesh import Mesh
from infra.read import postgres
from infra.read.postgres import Connection
from infra.settings import Settings, address
from infra.shop import audit
from infra.shop.demo import wishes
from infra.shop.demo.wishes import commands, warehouse
from infra.shop.laws import Evidence
from schemas.orders import OrderCancelled, OrderDelivered, OrderPlaced

__all__ = ["SET_UP", "commands", "set_up", "tell"]

PATIENCE = 60.0  # seconds without any order moving on
OUTAGE_S = 4.0
OUTAGE_FROM = 500  # orders; a circuit that opens stays open for 30 s, longer than a small demo takes
WORKING = "SELECT order_id, outcome, step FROM analytics.sagas WHERE at_rest"
STUCK = "SELECT step, count(*) AS orders, min(order_id) AS example FROM analytics.sagas WHERE step <> 'done' GROUP BY 1"
SET_UP = (
    "SELECT (SELECT count(*) FROM analytics.users WHERE status = 'active') >= $1 "
    "AND (SELECT count(*) FROM analytics.stock WHERE price_minor IS NOT NULL AND on_hand > 0) >= $2"
)
PROGRESS = (
    "SELECT count(*) AS seen, count(*) FILTER (WHERE step = 'done') AS done, count(*) FILTER (WHERE at_rest) AS at_rest "
    "FROM analytics.sagas"
)


@dataclass(frozen=True)
class Stage:
    """What the story needs of whoever tells it: a way to speak, whether to stop, and that what dies is started again."""

    say: Callable[[str], None]
    stopping: Callable[[], bool]
    keep_alive: Callable[[], None]


async def tell(s: Settings, mesh: Mesh, orders: int, seed: int, stage: Stage) -> int:
    """Set up the shop, post, wait for every saga to end, show and check; 0 if everything adds up."""
    say = stage.say
    async with postgres.connection(postgres.analyst(address(s, "postgres"))) as db:
        await set_up(s, mesh, seed, orders)
        await _registered(db, stage)
        await asyncio.to_thread(client.post_all, s, mesh, await _sealed(s, mesh, list(wishes.preferences())))
        say(f"{len(wishes.PRODUCTS)} products are listed, {wishes.CUSTOMERS} customers registered")
        begun = time.monotonic()
        posted = await asyncio.to_thread(client.post_all, s, mesh, commands(mesh, orders, seed))
        say(f"{len(posted)} commands posted for {orders} orders")
        if not await _until_at_rest(db, s, mesh, orders, stage):
            return 1
        say(f"all {orders} orders done in {time.monotonic() - begun:.1f} s")
        await _show(db)
    evidence, wrong = await audit.audit(s, mesh)
    wrong = [*wrong, *_counted(evidence, orders)]
    for line in wrong[:20]:
        say(f"WRONG  {line}")
    say(
        f"{len(wrong)} things do not add up"
        if wrong
        else "everything adds up: log, gateway ledger, stock, messages and every projection row"
    )
    return 1 if wrong else 0


async def set_up(s: Settings, mesh: Mesh, seed: int, orders: int) -> None:
    """List products and register customers; doing it again changes nothing but the stock of another seed."""
    async with asyncio.timeout(60):
        asked = await _sealed(s, mesh, [*wishes.catalogue(seed, orders), *wishes.customers()])
    await asyncio.to_thread(client.post_all, s, mesh, asked)


async def _sealed(s: Settings, mesh: Mesh, wanted: Sequence[Wish]) -> list[Asked]:
    return [client.asked(mesh, wish) for wish in await client.sealed(s, mesh, wanted)]


async def _registered(db: Connection, stage: Stage) -> None:
    """Wait until everybody is registered and every product is for sale."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not stage.stopping():
        stage.keep_alive()
        if await db.fetchval(SET_UP, wishes.CUSTOMERS, len(wishes.PRODUCTS)):
            return
        await asyncio.sleep(0.1)


async def _until_at_rest(db: Connection, s: Settings, mesh: Mesh, orders: int, stage: Stage) -> bool:
    """Play warehouse and customers until every order is done and nothing moves; in a large demo the gateway goes away once."""
    moved, seen, shown, away = time.monotonic(), (-1, -1, -1, ""), 0.0, False
    ids: set[str] = set()
    while not stage.stopping():
        stage.keep_alive()
        progress = await db.fetchrow(PROGRESS)
        receipts = await db.fetchval("SELECT count(*) FROM analytics.receipts")
        now = (progress["seen"], progress["done"], progress["at_rest"], receipts)
        wanted = [ask for saga in await db.fetch(WORKING) for ask in warehouse(mesh, saga) if ask.id not in ids]
        if wanted:
            await asyncio.to_thread(client.post_all, s, mesh, wanted)
            ids |= {ask.id for ask in wanted}
            moved = time.monotonic()
        if not away and orders >= OUTAGE_FROM and progress["at_rest"] > orders // 3:
            away = True
            await _outage(s, stage.say)
        if progress["done"] >= orders and now == seen and not wanted and time.monotonic() - moved > 1:
            return True
        if now != seen:
            moved, seen = time.monotonic(), now
        if time.monotonic() - moved > PATIENCE:
            stage.say(f"nothing has moved for {PATIENCE:.0f} s; the logs say more")
            for row in await db.fetch(STUCK):
                stage.say(f"  {row['orders']} orders are {row['step']}, such as {row['example']}")
            return False
        if time.monotonic() - shown > 2:
            shown = time.monotonic()
            stage.say(
                f"{progress['seen']} orders seen, {progress['at_rest']} at rest, {progress['done']} of {orders} done"
            )
        await asyncio.sleep(0.25)
    stage.say("stopped before the end")
    return False


async def _outage(s: Settings, say: Callable[[str], None]) -> None:
    say(f"the payment gateway goes away for {OUTAGE_S:.0f} s")
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as http,
        http.post(f"{address(s, 'gateway')}/v1/outage", json={"seconds": OUTAGE_S}) as answer,
    ):
        answer.raise_for_status()


def _counted(evidence: Evidence, orders: int) -> list[str]:
    placed, cancelled, delivered = (len(evidence.of(kind)) for kind in (OrderPlaced, OrderCancelled, OrderDelivered))
    wrong = []
    if placed != orders:
        wrong.append(f"{orders} orders were posted, {placed} placed")
    if cancelled + delivered != orders:
        wrong.append(f"{orders} orders were placed, {cancelled} cancelled and {delivered} delivered")
    return wrong


async def _show(db: Connection) -> None:
    out = Console(highlight=False)
    out.width = out.width if out.is_terminal else 200
    await _show_sagas(db, out)
    await _show_table(
        db,
        out,
        "the books, from the read models",
        "SELECT o.status, o.code, count(*) AS orders, sum(o.total_minor) / 100.0 AS ordered, "
        "sum(p.captured_minor) / 100.0 AS captured, sum(p.refunded_minor) / 100.0 AS refunded "
        "FROM analytics.orders o LEFT JOIN analytics.payments p USING (order_id) GROUP BY 1, 2 ORDER BY 1, 2",
    )
    await _show_table(
        db,
        out,
        "the stock",
        "SELECT sku, adjusted, on_hand, reserved, shipped, refused_orders FROM analytics.stock ORDER BY 1",
    )
    times = [
        float(r["decision_ms"])
        for r in await db.fetch("SELECT decision_ms FROM analytics.sagas WHERE decision_ms IS NOT NULL")
    ]
    if len(times) > 1:
        cuts = quantiles(times, n=100)
        out.print(
            f"from order to outcome: median {cuts[49]:.0f} ms, 99th percentile {cuts[98]:.0f} ms (posted at once, so most of it is waiting in line)"
        )


async def _show_sagas(db: Connection, out: Console) -> None:
    title = "the latest sagas (milliseconds a step)"
    names = ("order", "outcome", "total", "stock", "payment", "decision", "settled", "reason")
    table = Table(*names, box=None, title=title, title_justify="left")
    for r in await db.fetch("SELECT * FROM analytics.sagas ORDER BY placed_at DESC, order_id DESC LIMIT 8"):
        steps = (r["stock_ms"], r["payment_ms"], r["decision_ms"], r["settlement_ms"])
        table.add_row(
            r["order_id"],
            r["outcome"],
            f"{r['total_minor'] / 100:.2f} {r['currency']}",
            *("-" if v is None else f"{v:.0f}" for v in steps),
            r["reason"] or "",
        )
    out.print(table)


async def _show_table(db: Connection, out: Console, title: str, query: str) -> None:
    rows = await db.fetch(query)
    table = Table(
        *(name.replace("_", " ") for name in (list(rows[0].keys()) if rows else ())),
        box=None,
        title=title,
        title_justify="left",
    )
    for row in rows:
        table.add_row(
            *(
                f"{v:.2f}" if hasattr(v, "as_tuple") else str(v or (0 if isinstance(v, int) else ""))
                for v in row.values()
            )
        )
    out.print(table)
