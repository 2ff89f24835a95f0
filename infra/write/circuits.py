"""What stands between an effect and the outside: a circuit breaker and a bulkhead for each target.

Five failures in a row open the circuit for 30 seconds; then one attempt alone shows whether the target is back. A target
that hangs fills its own slots and nobody else's.
https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker and .../bulkhead
"""

import asyncio
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from random import random
from typing import Any, TypeVar

from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import CLOSED

from infra.wire.record import Outgoing, Record

FAILURES = 5
OPEN_S = 30.0
AT_ONCE = 32

_T = TypeVar("_T")


@dataclass(frozen=True)
class Circuit:
    """A circuit as it is now; `since` in seconds since the epoch."""

    target: str
    state: str
    since: float


def circuit_record(context: str, circuit: Circuit) -> Outgoing:
    """A circuit as a record of the compacted topic `weft.circuits`: the latest state of each, whoever runs it."""
    owner = f"{socket.gethostname()}/{os.getpid()}"
    content = {"context": context, **vars(circuit), "owner": owner}
    return Outgoing(f"{context}/{circuit.target}/{owner}".encode(), json.dumps(content).encode(), ())


def current(records: Iterable[Record], now: float) -> list[dict[str, Any]]:
    """The circuits that are not closed; one that nobody has tried for long belongs to a process that is gone."""
    latest = {record.key: json.loads(record.value or b"{}") for record in records}
    return [c for c in latest.values() if c and c["state"] != CLOSED and c["since"] > now - 4 * OPEN_S]


class Circuits:
    """The circuits of one context in one process; `changed` hears of every one that opens, closes or is tried."""

    def __init__(
        self, changed: Callable[[Circuit], None], *, open_s: float = OPEN_S, now: Callable[[], float] = time.time
    ) -> None:
        self._now = now
        self._changed = changed
        self._open_s = open_s
        self._breakers = AsyncCircuitBreakerFactory(default_threshold=FAILURES, default_ttl=open_s)
        self._breakers.add_listener(self._heard)
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._trying: dict[str, asyncio.Lock] = {}
        self.waiting = 0  # attempts for which a target that is there has no slot

    async def through(self, target: str, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """The attempt's result, or what it raised; waits while the circuit is open."""
        breaker = await self._breakers.get_breaker(target, exclude=[asyncio.CancelledError])
        context = breaker.context
        slots = self._slots.setdefault(target, asyncio.Semaphore(AT_ONCE))
        while True:
            if context.opened_at is not None and (left := context.opened_at + self._open_s - self._now()) > 0:
                await asyncio.sleep(left + random())
            elif context.state == CLOSED:
                await self._a_slot(slots)
                try:
                    if context.state == CLOSED:
                        return await self._guarded(breaker, attempt)
                finally:
                    slots.release()
            else:
                async with self._trying.setdefault(target, asyncio.Lock()):
                    if context.state != CLOSED and self._is_due(context.opened_at):
                        return await self._guarded(breaker, attempt)

    async def _a_slot(self, slots: asyncio.Semaphore) -> None:
        self.waiting += 1
        try:
            await slots.acquire()
        finally:
            self.waiting -= 1

    async def _guarded(self, breaker: Any, attempt: Callable[[], Awaitable[_T]]) -> _T:
        async with breaker:
            return await attempt()

    def _heard(self, name: str, kind: str, event: Any) -> None:
        if kind == "state_changed":
            self._changed(Circuit(name, event.state, self._now()))

    def _is_due(self, opened_at: float | None) -> bool:
        return opened_at is None or opened_at + self._open_s < self._now()
