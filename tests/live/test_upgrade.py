"""The first set-up of this code where older code ran: what that made stays, and what has to be made anew is asked for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from infra.embedded.instance import Instance
from infra.errors import OfOtherCode, Unusable
from infra.model.needs import Outside
from infra.model.own.events import EventRow
from infra.read import analytics, postgres, tables
from infra.read.tables import Store
from infra.settings import Settings, address
from tests.counter.mesh import mesh
from tests.live.harness import directory

EVENTS = mesh.projection("events")
ROW = EventRow(
    event_id="counter.events/0/0",
    context="counter",
    type="counter.Added",
    subject="c-1",
    at=datetime(2026, 1, 1, tzinfo=UTC),
    command_id="add-1",
    command_type="counter.Add",
    correlation_id="add-1",
    content="{}",
)
THEIRS = "SELECT event_id FROM public.theirs"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The Postgres of a home where rows were read, and an analyst made a view of a view."""
    with directory() as home:
        settings = Outside().nothing_given(Settings()).having(home=home, kafka="-")
        with Instance(settings, Outside(), lambda text: None, lambda done, total: None) as instance:
            url = address(instance.start_services(), "postgres")
            asyncio.run(analytics.prepare(url, mesh))
            at(url, lambda db: tables.copy(db, EVENTS, EVENTS.schema, [ROW]))
            at(url, lambda db: db.execute("CREATE VIEW public.theirs AS SELECT event_id FROM analytics.events"))
            yield url


def at(url: str, ask: Callable[[asyncpg.Connection], Awaitable[Any]]) -> Any:
    async def there() -> Any:
        async with postgres.connection(url) as db:
            return await ask(db)

    return asyncio.run(there())


def old(url: str, definition: str) -> None:
    """Heads as code had them that did not know what it replaced, nor who waits."""
    for p in mesh.projections.values():
        at(url, lambda db, p=p: db.execute(f"ALTER TABLE {p.schema}.head DROP older, DROP waiting, DROP waiting_at"))
        at(url, lambda db, p=p: db.execute(f"UPDATE {p.schema}.head SET definition = $1", definition or p.definition))


@pytest.fixture
def asked_for(url: str) -> list[str]:
    """The read models that are to be rebuilt, as the first set-up says."""
    old(url, "of older code")
    return asyncio.run(analytics.prepare(url, mesh))


@pytest.mark.parametrize("ask", [lambda db: Store(db, EVENTS).load(), lambda db: tables.code(db, EVENTS)])
def test_whoever_comes_before_the_set_up_is_told_to_run_it(
    url: str, ask: Callable[[asyncpg.Connection], Awaitable[Any]]
) -> None:
    old(url, "of older code")
    with pytest.raises(Unusable, match="weft setup"):
        at(url, ask)
    asyncio.run(analytics.prepare(url, mesh))


def test_tables_of_older_code_are_to_be_rebuilt(asked_for: list[str]) -> None:
    assert asked_for == list(mesh.projections)


def test_they_stay_with_all_that_depends_on_them(url: str, asked_for: list[str]) -> None:
    assert at(url, lambda db: db.fetchval(THEIRS)) == ROW.event_id


def test_a_projector_waits_for_the_rebuild(url: str, asked_for: list[str]) -> None:
    with pytest.raises(OfOtherCode, match="weft rebuild events"):
        at(url, lambda db: Store(db, EVENTS).load())
    at(url, lambda db: Store(db, EVENTS).wait())
    assert at(url, lambda db: tables.code(db, EVENTS)) == "other: rebuild; a worker is newer: rebuild"


def test_tables_of_the_same_code_go_on(url: str) -> None:
    old(url, "")
    assert asyncio.run(analytics.prepare(url, mesh)) == []
    assert at(url, lambda db: Store(db, EVENTS).load()) == {}
    assert at(url, lambda db: db.fetchval(THEIRS)) == ROW.event_id
