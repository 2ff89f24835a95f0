"""What the states of a partition want, in the order in which it is to be done: on disk, as far as it need not be at hand.

Deadlines stand in one line, by their moment, and are read when that has come. What is wanted of the outside stands in a line
for each target, by age: so many of each are at hand, so that a target that is away costs disk, and holds up no other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from infra.messages import Due
from infra.write.intents import Intent, moment
from infra.write.layout import WHEN, LineOf, agenda_key, behind, line_in, line_prefix
from infra.write.state import State

CLOCK = b""  # whose line is for deadlines
AT_HAND = 500  # of a target
DUE_AT_ONCE = 1000


def lines_by(target: Callable[[Any], str]) -> LineOf:
    """Where an intent stands: `target` names whom something that is wanted of the outside is for."""

    def line_of(intent: Intent) -> tuple[bytes, int]:
        if isinstance(intent.wanted, Due):
            return CLOCK, moment(intent)
        return target(intent.wanted).encode()[:1000], intent.at

    return line_of


@dataclass(slots=True)
class Line:
    """Of one target: all up to the key `reached` were handed out, `at_hand` of them are not done; `passed` were not."""

    reached: bytes
    at_hand: int = 0
    passed: int = 0
    is_all_at_hand: bool = True


class Agenda:
    """The agenda of one partition."""

    def __init__(self, state: State, line_of: LineOf) -> None:
        self._state = state
        self._line_of = line_of
        self._lines: dict[bytes, Line] = {}
        self._due_from = line_prefix(CLOCK)

    async def resume(self) -> None:
        """What is open is wanted, as if nobody was at it or had been."""
        self._due_from = line_prefix(CLOCK)
        await self._state.write()
        for name in await self._state.lines():
            if name != CLOCK:
                line = self._lines.setdefault(name, Line(line_prefix(name)))
                line.reached, line.is_all_at_hand = line_prefix(name), False

    def opened(self, intents: Sequence[Intent]) -> list[Intent]:
        """Of new ones, those that are to be done now."""
        return [intent for intent in intents if self._is_for_now(intent)]

    def _is_for_now(self, intent: Intent) -> bool:
        key = agenda_key(intent, self._line_of)
        name = line_in(key)
        if name == CLOCK:
            self._due_from = min(self._due_from, key)
            return False
        line = self._lines.setdefault(name, Line(line_prefix(name)))
        if key > line.reached and (line.at_hand >= AT_HAND or not line.is_all_at_hand):
            line.passed += 1
            line.is_all_at_hand = False
            return False
        self._hand_out(line, key)
        return True

    def _hand_out(self, line: Line, key: bytes) -> None:
        line.reached = max(line.reached, key)
        line.at_hand += 1

    def done(self, intent: Intent) -> None:
        """It is not at hand any more."""
        name = self._line_of(intent)[0]
        line = self._lines[name]
        line.at_hand -= 1
        if line.at_hand == 0 and line.is_all_at_hand:
            del self._lines[name]

    async def more(self) -> list[Intent]:
        """What may be done now that there is room again."""
        short = [
            (n, line) for n, line in self._lines.items() if not line.is_all_at_hand and line.at_hand <= AT_HAND // 2
        ]
        found: list[Intent] = []
        for name, line in short:
            found += await self._next_of(name, line)
        return found

    async def _next_of(self, name: bytes, line: Line) -> list[Intent]:
        passed, room = line.passed, AT_HAND - line.at_hand
        if not await self._state.write():
            return []
        rows = await self._state.open_in(line.reached + b"\0", behind(line_prefix(name)), room)
        for key, _ in rows:
            self._hand_out(line, key)
        line.is_all_at_hand = len(rows) < room and line.passed == passed
        return [intent for _, intent in rows]

    async def due(self, now_ms: float) -> list[Intent]:
        """Deadlines whose moment has come, soonest first, up to DUE_AT_ONCE; as a rule each is named once."""
        start, end = self._due_from, line_prefix(CLOCK) + WHEN.pack(int(now_ms) + 1)
        if start >= end:
            return []
        self._due_from = end  # what is opened meanwhile, and overdue, takes it back
        if not await self._state.write():
            self._due_from = min(self._due_from, start)
            return []
        rows = await self._state.open_in(start, end, DUE_AT_ONCE)
        if len(rows) == DUE_AT_ONCE:
            self._due_from = min(self._due_from, rows[-1][0] + b"\0")
        return [intent for _, intent in rows]
