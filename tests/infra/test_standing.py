"""What is wrong with one log stops who reads it, and nobody else."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from infra.errors import LogDamaged, OfNewerCode, Unusable
from infra.ops import standing
from infra.ops.standing import alone
from infra.wire.record import Outgoing

OLD = OfNewerCode("this code is older than the log")


class Unit:
    """One that fails as often as this, and then runs; `told` is what is published of it."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.runs = asyncio.Event()
        self.told: list[Outgoing] = []

    async def begin(self) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self.runs.set()
        await asyncio.sleep(60)

    async def tell(self, record: Outgoing) -> None:
        self.told.append(record)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "AGAIN_S", 0.05)


async def until(condition: Callable[[], bool] | Awaitable[object]) -> None:
    async with asyncio.timeout(5):
        if callable(condition):
            while not condition():
                await asyncio.sleep(0.01)
        else:
            await condition


@pytest.mark.parametrize("error", [OLD, LogDamaged("it lost data"), ExceptionGroup("a context", [OLD])])
async def test_it_stands_still_says_so_and_begins_anew(error: Exception) -> None:
    unit = Unit(error, error)
    running = asyncio.create_task(alone("orders", unit.begin, unit.tell))
    await until(unit.runs.wait())
    said = [json.loads(record.value or b"") for record in unit.told]
    assert [s["reason"] for s in said] == 2 * [f"orders: {standing.one(error)}"]
    assert len({s["since"] for s in said}) == 1  # it is since the first time
    running.cancel()


async def test_once_it_holds_nothing_is_said_of_it_any_more() -> None:
    unit = Unit(OLD)
    running = asyncio.create_task(alone("orders", unit.begin, unit.tell))
    await until(lambda: len(unit.told) == 2)
    assert [(record.key, record.value is None) for record in unit.told] == [
        (b"unit/orders", False),
        (b"unit/orders", True),
    ]
    running.cancel()


async def test_whatever_else_is_wrong_ends_it() -> None:
    unit = Unit(Unusable("no address"))
    with pytest.raises(Unusable, match="no address"):
        await alone("orders", unit.begin, unit.tell)
    assert unit.told == []
