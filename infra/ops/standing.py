"""What is wrong with a log, or with one event of it, stops who cannot get past it, and nobody else of his process.

He stands still, says so, and begins anew later.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import structlog

from infra.errors import LogDamaged, OfNewerCode, Unwritable
from infra.wire.record import Outgoing

_log = structlog.get_logger()

AGAIN_S = 60.0
NEXT = f"it is tried again every {AGAIN_S:.0f} s"

Tell = Callable[[Outgoing], Awaitable[None]]


async def alone(unit: str, begin: Callable[[], Awaitable[None]], tell: Tell) -> None:
    """Run a context or a read model, and again a while after it found what it cannot get past: a log that is damaged, or newer than
    this code, or an event of which no rows can be made.

    Meanwhile it is in no group: whoever has newer code may go on. `tell` publishes what stands still.
    """
    since: float | None = None
    while True:
        holding = asyncio.create_task(_tell_if_it_holds(unit, tell))
        try:
            return await begin()
        except Exception as error:
            reason = one(error)
            if not isinstance(reason, LogDamaged | OfNewerCode | Unwritable):
                raise
        finally:
            holding.cancel()
        since = since or time.time()
        _log.error("stopped", unit=unit, reason=str(reason), next=NEXT)
        await tell(standing_record(unit, str(reason), since))
        await asyncio.sleep(AGAIN_S)


async def _tell_if_it_holds(unit: str, tell: Tell) -> None:
    await asyncio.sleep(AGAIN_S)
    await tell(standing_record(unit, None, 0))


def standing_record(unit: str, reason: str | None, since: float) -> Outgoing:
    """What is published of a context or a read model that stands still as a whole; nothing if it does not."""
    key = f"unit/{unit}".encode()
    if reason is None:
        return Outgoing(key, None, [])
    said = {"context": unit, "loss": "log", "reason": f"{unit}: {reason}", "next": NEXT, "since": since}
    return Outgoing(key, json.dumps(said).encode(), [])


def one(error: BaseException) -> BaseException:
    """The error itself, where a task group has put it alone into a group."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
