"""Each context on its own: any order of start, its own database, and the saga completes when the last one arrives."""

import asyncio
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from infra.read import postgres
from infra.settings import address
from infra.shop.mesh import mesh
from tests.live.harness import LiveMesh, until
from tests.live.shop import audit, place, register, saga, until_at_rest, until_set_up
from tests.live.weft import weft

ORDERS = 12


def start_one_by_one(live: LiveMesh, names: list[str]) -> None:
    """Orders are posted before anybody runs; each context starts once the one before has nothing left to do."""
    for name in names[:-1]:
        live.ready(live.worker(name))
    assert not live.query("SELECT 1 FROM sagas WHERE at_rest")
    live.ready(live.worker(names[-1]))


@pytest.mark.timeout(200)
@pytest.mark.parametrize("names", [list(mesh.contexts), list(reversed(mesh.contexts))], ids=["forth", "back"])
def test_the_saga_completes_when_the_last_context_arrives(own_mesh: LiveMesh, names: list[str]) -> None:
    live = own_mesh
    live.ready(live.worker("products"))
    live.worker("sagas", "receipts", "events")
    until(
        lambda: len(live.query("SELECT 1 FROM stock WHERE price_minor > 0 AND on_hand > 0")) >= 5,
        60,
        "products are for sale",
    )
    live.stop_workers()
    register(live, "ada")
    for number in range(ORDERS):
        place(live, f"alone-{number}")
    live.worker("sagas", "receipts", "events")
    start_one_by_one(live, names)
    until_at_rest(live, ORDERS)
    _, wrong = audit(live)
    assert wrong == []


@pytest.mark.timeout(120)
def test_a_context_has_a_database_of_its_own(own_mesh: LiveMesh) -> None:
    live = own_mesh
    shared = address(live.settings, "postgres")
    alone = urlunsplit(urlsplit(shared)._replace(path="/payments_alone"))

    async def create() -> None:
        async with postgres.connection(shared) as db:
            await db.execute("CREATE DATABASE payments_alone")

    asyncio.run(create())
    assert weft(live, "setup", WEFT_POSTGRES=alone).returncode == 0
    others = [*(name for name in mesh.contexts if name != "payments"), "sagas", "receipts"]
    live.ready(live.worker(*others))
    live.ready(live.worker("payments", postgres=alone))
    until_set_up(live)
    register(live, "ada")
    place(live, "apart-1")
    saga(live, "apart-1", "to be shipped")
    assert not live.query("SELECT 1 FROM payments")

    async def there() -> list[asyncpg.Record]:
        async with postgres.connection(postgres.analyst(alone)) as db:
            return list(await db.fetch("SELECT status FROM payments WHERE order_id = 'apart-1'"))

    until(lambda: [r["status"] for r in asyncio.run(there())] == ["captured"], 30, "the row is in the other database")
