"""given(decider, *events).when(command).then(*events): how every decider is tested."""

from types import ModuleType
from typing import Any

from infra.messages import Refused
from infra.model.context import parameter_types
from infra.write.intents import subject_of, told_elsewhere


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
        """These events and no others; and asking the same again changes nothing, also under another id."""
        self._asking_again_changes_nothing(self.then_each_time(*expected))

    def then_each_time(self, *expected: Any) -> list[Any]:
        """These events and no others, as often as it is asked: only the command's id tells a retry from a second wish."""
        happened = list(self._decider.decide(self._command, self._state))
        assert happened == list(expected)
        self._deadlines_are_its_own(happened)
        return happened

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
        for event in self._decider.decide(self._command, state):
            assert isinstance(event, Refused) or self._decider.evolve(state, event) == state

    def _deadlines_are_its_own(self, happened: list[Any]) -> None:
        """ValueError names a deadline that asks another aggregate: the runtime would not process the command."""
        state, due, key = self._state, getattr(self._decider, "due", None), subject_of(self._command)
        if due is None:
            return
        for event in happened:
            state = state if isinstance(event, Refused) else self._decider.evolve(state, event)
            if why := told_elsewhere(due(key, state), key, parameter_types(self._decider.decide, 0)):
                raise ValueError(why)


def given(decider: ModuleType, *events: Any) -> Scenario:
    return Scenario(decider, events)
