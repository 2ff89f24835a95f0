"""The vault knows the key it was made with, and works with no other."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from pydantic import SecretStr

from infra.edge import vault
from infra.embedded.instance import Instance
from infra.errors import Unusable
from infra.model.needs import Outside, VaultNeeds, needed
from infra.read import postgres
from infra.settings import Settings, address
from infra.wire.sealing import random_key
from tests.live.harness import directory
from tests.live.weft import weft

T = TypeVar("T")
ONE, OTHER = random_key(), random_key()
REFUSED = r"was made with the key [0-9a-f]{8}\b.*last seen .*the one that is given is [0-9a-f]{8}\b.*WEFT_VAULT_KEY"


@pytest.fixture(scope="module")
def server() -> Iterator[Settings]:
    """A Postgres, and nothing else."""
    with directory() as home:
        settings = Settings(home=home).having(kafka="nowhere:9092", postgres=None, vault="", vault_key="")
        with Instance(settings, Outside(), lambda text: None, lambda done, total: None) as instance:
            yield instance.start_services()


@pytest.fixture
def fresh(server: Settings) -> Settings:
    """A vault that was just made, and no key was given to it."""
    execute(server, "DROP SCHEMA IF EXISTS vault CASCADE")
    asyncio.run(vault.prepare(server))
    return server


def execute(settings: Settings, sql: str) -> None:
    async def run() -> None:
        async with postgres.connection(address(settings, "postgres")) as db:
            await db.execute(sql)

    asyncio.run(run())


def count(settings: Settings) -> int:
    async def run() -> int:
        async with postgres.connection(address(settings, "postgres")) as db:
            return int(await db.fetchval("SELECT count(*) FROM vault.keys"))

    return asyncio.run(run())


def with_key(settings: Settings, key: str, ask: Callable[[vault.Vault], Awaitable[T]]) -> T:
    async def run() -> T:
        async with vault.opened(needed(settings.having(vault_key=key), VaultNeeds)) as opened:
            return await ask(opened)

    return asyncio.run(run())


def test_another_key_is_refused_and_nothing_is_made_with_it(fresh: Settings) -> None:
    kept = with_key(fresh, ONE, lambda v: v.keys(["ada"]))
    with pytest.raises(Unusable, match=REFUSED):
        with_key(fresh, OTHER, lambda v: v.keys(["bob"]))
    assert count(fresh) == 1
    assert with_key(fresh, ONE, lambda v: v.keys(["ada"])) == kept


def test_another_key_is_refused_before_anybody_has_a_key(fresh: Settings) -> None:
    asyncio.run(vault.prepare(fresh.having(vault_key=ONE)))
    with pytest.raises(Unusable, match=REFUSED):
        asyncio.run(vault.prepare(fresh.having(vault_key=OTHER)))
    with pytest.raises(Unusable, match=REFUSED):
        with_key(fresh, OTHER, lambda v: v.keys(["bob"]))


def test_no_key_and_no_more_than_a_mark_of_it_is_said_or_kept(fresh: Settings) -> None:
    asyncio.run(vault.prepare(fresh.having(vault_key=ONE)))
    with pytest.raises(Unusable) as refused:
        asyncio.run(vault.prepare(fresh.having(vault_key=OTHER)))
    assert ONE not in str(refused.value)
    assert OTHER not in str(refused.value)


def test_a_vault_of_before_takes_the_key_its_content_was_made_with(fresh: Settings) -> None:
    with_key(fresh, ONE, lambda v: v.keys(["ada"]))
    execute(fresh, "DROP TABLE vault.made_with")
    with pytest.raises(Unusable, match="`weft setup`"):
        with_key(fresh, ONE, lambda v: v.keys(["ada"]))
    with pytest.raises(Unusable, match="WEFT_VAULT_KEY"):
        asyncio.run(vault.prepare(fresh.having(vault_key=OTHER)))
    asyncio.run(vault.prepare(fresh))
    with pytest.raises(Unusable, match="WEFT_VAULT_KEY"):
        with_key(fresh, OTHER, lambda v: v.keys(["bob"]))
    assert with_key(fresh, ONE, lambda v: v.keys(["ada"]))
    with pytest.raises(Unusable, match=REFUSED):
        with_key(fresh, OTHER, lambda v: v.keys(["bob"]))


def test_of_two_who_bring_a_key_each_to_a_fresh_vault_one_is_refused(fresh: Settings) -> None:
    async def bring(key: str) -> bool:
        async with vault.opened(needed(fresh.having(vault_key=key), VaultNeeds)) as opened:
            try:
                await opened.keys(["ada"])
            except Unusable:
                return False
            return True

    async def both() -> list[bool]:
        return await asyncio.gather(bring(ONE), bring(OTHER))

    assert sorted(asyncio.run(both())) == [False, True]


def test_who_erases_needs_no_key(fresh: Settings) -> None:
    with_key(fresh, ONE, lambda v: v.keys(["ada"]))
    with_key(fresh, OTHER, lambda v: v.destroy("ada"))
    assert count(fresh) == 1


def test_a_worker_with_another_key_says_so_before_it_starts(fresh: Settings) -> None:
    asyncio.run(vault.prepare(fresh.having(vault_key=ONE)))
    url = address(fresh, "postgres")
    done = weft(
        None, "run", "users", WEFT_POSTGRES=url, WEFT_KAFKA="127.0.0.1:1", WEFT_VAULT_KEY=OTHER, WEFT_TOKEN_KEYS=ONE
    )
    assert (done.returncode, bool(re.search(REFUSED, done.stderr)), "Traceback" in done.stderr) == (1, True, False)


def test_a_mesh_without_a_key_is_told_which_one_its_vault_wants_and_makes_none(fresh: Settings, tmp_path: Path) -> None:
    asyncio.run(vault.prepare(fresh.having(vault_key=ONE)))
    done = weft(
        tmp_path / "home", "up", WEFT_POSTGRES=address(fresh, "postgres"), WEFT_KAFKA="127.0.0.1:1", WEFT_VAULT_KEY=""
    )
    assert done.returncode == 1
    assert re.search(r"was made with the key [0-9a-f]{8}\b.*last seen .*WEFT_VAULT_KEY", done.stderr), done.stderr
    assert not (tmp_path / "home" / "vault.key").exists()


def test_a_key_is_made_for_a_vault_that_has_none(fresh: Settings) -> None:
    asyncio.run(vault.check_unmade(fresh))


def test_a_vault_that_is_away_stops_no_start(fresh: Settings) -> None:
    away = VaultNeeds(vault="postgresql://postgres:pw@127.0.0.1:1/postgres", vault_key=SecretStr(ONE))
    asyncio.run(vault.check(away, "here"))
