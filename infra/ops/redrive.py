"""Sending again what waits, in the order of each queue. Pure.

The log lets the head of a queue pass and nothing else, and a context reads the ways it is asked by independently. So of each
queue what came by one way is sent together, and what came behind it by the other one is sent once that is answered.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from infra.messages import Discarded, Parked, Rejected
from infra.wire.envelope import CommandName

Name = tuple[bytes, CommandName]  # of a command: its key, and what it is called among those of its key


class Redrive:
    """What is sent again of some queues, one a key; `outcomes` is what became of each so far."""

    def __init__(self, queues: Iterable[Sequence[Name]]) -> None:
        self.outcomes: dict[Name, str] = {}
        self._left = {queue[0][0]: _by_way([command for _, command in queue]) for queue in queues if queue}
        self._sent: dict[bytes, set[CommandName]] = {}

    @property
    def is_over(self) -> bool:
        """Whether everything is answered, or will not be."""
        return not self._left and not self._sent

    def next(self) -> list[Name]:
        """What is to be sent now, in order; it counts as sent."""
        found: list[Name] = []
        for key in [key for key in self._left if key not in self._sent]:
            run, *rest = self._left.pop(key)
            self._sent[key] = set(run)
            if rest:
                self._left[key] = rest
            found += [(key, command) for command in run]
        return found

    def take(self, key: bytes, command: CommandName, event: Any) -> None:
        """Take in an event of a queue."""
        if command not in self._sent.get(key, ()) or isinstance(event, Parked):
            return
        if isinstance(event, Rejected):  # what is behind it goes on waiting
            self.outcomes[key, command] = f"rejected again: {event.code}: {event.reason}"
            del self._sent[key]
            self._left.pop(key, None)
            return
        self.outcomes[key, command] = "discarded" if isinstance(event, Discarded) else "processed"
        self._sent[key].discard(command)
        if not self._sent[key]:
            del self._sent[key]


def _by_way(queue: Sequence[CommandName]) -> list[list[CommandName]]:
    return [list(run) for _, run in groupby(queue, key=type)]
