"""given(decider, *events).when(command).then(*events): how every decider is tested."""

from types import ModuleType
from typing import Any

from schemas import Refused


class Scenario:
    def __init__(self, decider: ModuleType, events: tuple[Any, ...]) -> None:
        self._decider = decider
        self._state = decider.initial
        for event in events:
            self._state = decider.evolve(self._state, event)

    def when(self, command: Any) -> "Scenario":
        self._command = command
        return self

    def then(self, *expected: Any) -> None:
        """These events and no others; and asking the same again changes nothing."""
        happened = list(self._decider.decide(self._command, self._state))
        assert happened == list(expected)
        self._asking_again_changes_nothing(happened)

    def then_refused(self, code: str) -> None:
        """One refusal with this code."""
        happened = list(self._decider.decide(self._command, self._state))
        assert [type(event) for event in happened] == [Refused]
        assert happened[0].code == code
        assert happened[0].reason

    def _asking_again_changes_nothing(self, happened: list[Any]) -> None:
        state = self._state
        for event in happened:
            state = self._decider.evolve(state, event)
        again = list(self._decider.decide(self._command, state))
        assert all(isinstance(event, Refused) for event in again)


def given(decider: ModuleType, *events: Any) -> Scenario:
    return Scenario(decider, events)
