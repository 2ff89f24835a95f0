"""What the states of a partition want, in the order in which it is to be done: on disk, as far as it need not be at hand.

Deadlines stand in one line, by their moment, and are read when that has come. What is wanted of the outside stands in a line
for each target, as it was opened: so many of each are at hand, so that a target that is away costs disk, and holds up no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.write.intents import CLOCK, Intent
from infra.write.layout import NEVER, WHEN, agenda_key, behind, line_prefix
from infra.write.state import State

AT_HAND = 500  # of a target
DUE_AT_ONCE = 1000


@dataclass(slots=True)
class Line:
    """Of one target: all up to the key `reached` were handed out, `at_hand` of them are not done; `passed` were not."""

    reached: bytes
    at_hand: int = 0
    passed: int = 0
    is_all_at_hand: bool = True


class Agenda:
    """The agenda of one partition. Whatever is opened later stands behind in its line, so that nothing is overtaken."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lines: dict[bytes, Line] = {}
        self._at_hand: dict[str, bytes] = {}  # in whose line, by the key of an intent
        self._due_from = line_prefix(CLOCK)
        self._overdue: set[bytes] = set()  # keys in front of that, opened since

    async def resume(self) -> None:
        """What is open is wanted, as if nobody had been at it; what is at hand stays there."""
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
        key = agenda_key(intent)
        if intent.line == CLOCK:
            if key < self._due_from:
                self._overdue.add(key)
            return False
        line = self._lines.setdefault(intent.line, Line(line_prefix(intent.line)))
        if line.at_hand >= AT_HAND or not line.is_all_at_hand:
            line.passed += 1
            line.is_all_at_hand = False
            return False
        return self._hand_out(line, key, intent)

    def _hand_out(self, line: Line, key: bytes, intent: Intent) -> bool:
        """Whether it was not at hand before."""
        line.reached = max(line.reached, key)
        if intent.key in self._at_hand:
            return False
        self._at_hand[intent.key] = intent.line
        line.at_hand += 1
        return True

    def done(self, intent: Intent) -> None:
        """It is not at hand any more."""
        if (name := self._at_hand.pop(intent.key, None)) is None:
            return
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
        passed, reached, room = line.passed, line.reached, AT_HAND - line.at_hand
        if not await self._state.write():
            return []
        rows = await self._state.open_in(reached + b"\0", behind(line_prefix(name)), room)
        if line.reached < reached:  # it is begun anew, so these are not the next any more
            return []
        taken = [intent for key, intent in rows if self._hand_out(line, key, intent)]
        line.is_all_at_hand = len(rows) < room and line.passed == passed
        if line.at_hand == 0 and line.is_all_at_hand:
            self._lines.pop(name, None)
        return taken

    def postpone(self, intent: Intent, now_ms: int) -> None:
        """A deadline was called before its moment: it is due again when that comes, and so is what else was called since."""
        self._due_from = min(self._due_from, agenda_key(intent), line_prefix(CLOCK) + WHEN.pack(now_ms))

    async def due(self, now_ms: float) -> list[Intent]:
        """Deadlines whose moment has come, soonest first, DUE_AT_ONCE and those that were overdue when they were opened."""
        late = sorted(self._overdue)
        start, end = self._due_from, line_prefix(CLOCK) + WHEN.pack(min(int(now_ms) + 1, NEVER))
        if not late and start >= end:
            return []
        self._overdue.clear()
        self._due_from = max(start, end)  # what is opened meanwhile in front of that is overdue
        if not await self._state.write():
            self._due_from = start
            self._overdue.update(late)
            return []
        overdue = await self._state.open_at(late) if late else []
        rows = await self._state.open_in(start, end, DUE_AT_ONCE) if start < end else []
        if len(rows) == DUE_AT_ONCE:
            self._due_from = min(self._due_from, rows[-1][0] + b"\0")
        return [*overdue, *(intent for _, intent in rows)]
