"""Deadlines: when a moment that a state named has come, the command due then is posted.

What is due is read from the agenda, and after a recovery read again: a deadline that fires late, twice or in vain does no
harm, since it counts only while what it answers is open, and the aggregate's log decides. Nor does one that fires early:
whether its moment has come is for the broker to say that its command is appended by.
"""

import time
from collections.abc import Callable, Sequence

import structlog

from infra.kafka.log import CommandSink, addressed, until_known
from infra.wire.avro import Codec
from infra.wire.envelope import DUE_OF, Cause
from infra.wire.record import Outgoing
from infra.write.intents import Intent, moment
from infra.write.reactions import outgoing_command

_log = structlog.get_logger()


def since_boot() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Calendar:
    """When it is, in ms: by this host's clock, but not while a deadline that it called has shown it to be ahead of the broker."""

    def __init__(self, now: Callable[[], float], elapsed: Callable[[], float] = since_boot) -> None:
        self._now = now
        self._elapsed = elapsed
        self._behind: float | None = None  # from what has elapsed to the broker's time

    @property
    def is_corrected(self) -> bool:
        return self._behind is not None

    def now(self) -> float:
        by_host = self._now() * 1000
        if self._behind is None:
            return by_host
        by_broker = self._elapsed() * 1000 + self._behind
        if by_host <= by_broker:
            self._behind = None
        return min(by_host, by_broker)

    def correct(self, broker_ms: float) -> None:
        """It was this late by the broker's clock a moment ago."""
        self._behind = broker_ms - self._elapsed() * 1000


def due_command(codec: Codec, intent: Intent) -> Outgoing:
    """The command of a Due whose moment has come; it happens at that moment or later, never before."""
    cause = Cause(intent.correlation, intent.key, moment(intent))
    return outgoing_command(codec, intent.wanted.command, f"{intent.key}/due", cause, (DUE_OF, intent.key.encode()))


async def fire(codec: Codec, sink: CommandSink, topic: str, partitions: int, due: Sequence[Intent]) -> None:
    """Post the commands of these, however long that takes."""
    records = [due_command(codec, intent) for intent in due]
    _log.info("deadlines", topic=topic, count=len(due))
    await until_known(lambda: sink.send(topic, addressed(records, partitions)))
