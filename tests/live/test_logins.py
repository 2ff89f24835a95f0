"""Whoever runs a context, and nothing else, may do what that context needs in the database, and nothing else."""

import asyncio
from urllib.parse import urlsplit, urlunsplit

import pytest

from infra.ops.setup import READ_MODELS
from infra.read import postgres
from infra.settings import address, service_login
from tests.live.harness import LiveMesh
from tests.live.shop import place, register, row, saga, until_set_up


def login(live: LiveMesh, unit: str) -> str:
    """The database as somebody sees it who runs that."""
    parts = urlsplit(address(live.settings, "postgres"))
    return urlunsplit(parts._replace(netloc=f"{service_login(unit)}@{parts.netloc.rpartition('@')[2]}"))


def refusal(live: LiveMesh, unit: str, sql: str) -> str:
    """What Postgres says to that; nothing if it does it."""

    async def ask() -> str:
        async with postgres.connection(login(live, unit)) as db:
            try:
                await db.execute(sql)
            except postgres.Refusal as error:
                return str(error)
        return ""

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("unit", "sql"),
    [
        ("orders", "SELECT * FROM users.users"),
        ("orders", "SELECT * FROM vault.keys"),
        ("orders", "SELECT * FROM vault.made_with"),
        ("notifications", "SELECT * FROM identity.credentials"),
        ("notifications", "UPDATE vault.made_with SET mark = ''"),
        ("notifications", "DELETE FROM vault.keys"),
        ("payments", "UPDATE orders.head SET version = 0"),
        ("users", "SELECT * FROM pg_authid"),
        ("users", "CREATE ROLE mine SUPERUSER"),
        ("users", "DROP TABLE users.users"),
        ("users", "COPY users.users TO PROGRAM 'cat'"),
        (READ_MODELS, "SELECT * FROM vault.keys"),
        (READ_MODELS, "SELECT * FROM orders.orders"),
    ],
)
def test_a_service_may_not(shop: LiveMesh, unit: str, sql: str) -> None:
    assert "denied" in refusal(shop, unit, sql) or "must be owner" in refusal(shop, unit, sql)


def test_no_service_is_a_superuser_or_makes_others(shop: LiveMesh) -> None:
    async def mighty() -> int:
        async with postgres.connection(login(shop, "orders")) as db:
            sql = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'weft%' AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls)"
            return int(await db.fetchval(sql))

    assert asyncio.run(mighty()) == 0


@pytest.mark.timeout(180)
def test_every_context_does_its_work_under_a_login_of_its_own(own_mesh: LiveMesh) -> None:
    live = own_mesh
    # given a worker a context, and one for what spans them, each with its own login
    spanning = [name for name, p in live.mesh.projections.items() if live.mesh.home_of(p) is None]
    for name in live.mesh.contexts:
        live.ready(live.worker(name, postgres=login(live, name)))
    live.worker(*spanning, postgres=login(live, READ_MODELS))
    register(live, "ada")
    until_set_up(live)
    # when an order is placed
    place(live, "alone-1")
    # then it goes its way, its customer is told, and everything that can be asked about it is there
    saga(live, "alone-1")
    row(live, "SELECT * FROM notifications WHERE order_id = 'alone-1'", where=lambda r: r["status"] == "sent")
