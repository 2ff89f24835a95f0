"""What stands between an effect and the outside: a circuit breaker for each target.

Five failures in a row open the circuit for 30 seconds; then one attempt alone shows whether the target is back.
https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker

Only targets that have failed since they last answered are known at all, and no more than MOST of them: a target may be a host
that a stranger has named.
"""

import asyncio
import json
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import random
from typing import Any

from infra.wire.record import Outgoing, Record

FAILURES = 5
OPEN_S = 30.0
MOST = 1000
CLOSED, OPENED, HALF_OPENED = "closed", "opened", "half-opened"


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
    latest = {record.key: _read(record) for record in records}
    return [c for c in latest.values() if c and c["state"] != CLOSED and c["since"] > now - 4 * OPEN_S]


def _read(record: Record) -> dict[str, Any] | None:
    """What a record says of a circuit; None if that is nothing, as anybody may write there who may write anywhere."""
    try:
        content = json.loads(record.value or b"")
    except (ValueError, RecursionError):
        return None
    is_circuit = isinstance(content, dict) and all(
        isinstance(content.get(n), str) for n in ("context", "target", "state")
    )
    return content if is_circuit and isinstance(content.get("since"), int | float) else None


@dataclass(slots=True)
class Breaker:
    """Of a target that has failed; `until` is a time of the event loop, None while the circuit is closed."""

    failures: int = 0
    until: float | None = None
    is_tried: bool = False


class Circuits:
    """The circuits of one context in one process; `changed` hears of every one that opens, closes or is tried.

    Whoever asks a target says so (`begin`), and what came of it: it `answered`, it `failed`, or that says nothing about the
    target (`let_go`).
    """

    def __init__(
        self, changed: Callable[[Circuit], None], *, open_s: float = OPEN_S, now: Callable[[], float] = time.time
    ) -> None:
        self._now = now
        self._changed = changed
        self._open_s = open_s
        self._failing: OrderedDict[str, Breaker] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failing)

    def wait(self, target: str) -> float | None:
        """Seconds until the target may be asked, 0 if that is now; None while one attempt alone tries it."""
        breaker = self._failing.get(target)
        if breaker is None or breaker.until is None:
            return 0.0
        return None if breaker.is_tried else max(0.0, breaker.until - asyncio.get_running_loop().time())

    def begin(self, target: str) -> None:
        """The target, which may be asked, is being asked."""
        breaker = self._failing.get(target)
        if breaker is not None and breaker.until is not None:
            breaker.is_tried = True
            self._tell(target, HALF_OPENED)

    def answered(self, target: str) -> bool:
        """Whether that closed its circuit."""
        breaker = self._failing.pop(target, None)
        if breaker is None or breaker.until is None:
            return False
        self._tell(target, CLOSED)
        return True

    def failed(self, target: str) -> None:
        breaker = self._failing.setdefault(target, Breaker())
        self._failing.move_to_end(target)
        breaker.failures += 1
        if breaker.is_tried or (breaker.until is None and breaker.failures >= FAILURES):
            breaker.until = asyncio.get_running_loop().time() + self._open_s + random()
            self._tell(target, OPENED)
        breaker.is_tried = False
        if len(self._failing) > MOST:
            self._failing.popitem(last=False)

    def let_go(self, target: str) -> None:
        if breaker := self._failing.get(target):
            breaker.is_tried = False

    def _tell(self, target: str, state: str) -> None:
        self._changed(Circuit(target, state, self._now()))
