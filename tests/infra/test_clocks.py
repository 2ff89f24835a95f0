"""Clocks that are wrong: a broker's that is ahead, and a host's that calls deadlines before their moment."""

import pytest

from infra.messages import Due
from infra.wire.envelope import DUE_OF, Way, event_record
from infra.wire.inbound import decided_by, is_the_same
from infra.wire.record import Header, Read
from infra.write.aggregates import Aggregates
from infra.write.decision import CommandHandler, Decision
from infra.write.timers import Calendar
from tests.counter.streams.counter.decider import PATIENCE_S
from tests.infra.counter_log import NOW, add, commands, decide_all, empty, fresh, landed, own, said

DAY_MS = 24 * 3600 * 1000
OPENED = b"counter.events/0/0"
MOMENT = NOW + PATIENCE_S * 1000


def decide_by(aggregates: Aggregates, records: list[Read], latest: float) -> Decision:
    """What is decided where no time later than this is believed."""
    handler = CommandHandler(aggregates)
    return handler.decide(handler.read(records, latest=latest))


def opened() -> Aggregates:
    """A counter that was added to, and is emptied when nobody adds for PATIENCE_S."""
    aggregates = fresh()
    decide_all(aggregates, commands((add(1), "a")))
    (intent,) = aggregates.intents.values()
    assert isinstance(intent.wanted, Due) and intent.key.encode() == OPENED
    return aggregates


def called(at: int) -> list[Read]:
    """Its deadline, by when the command due then was appended."""
    of: Header = (DUE_OF, OPENED)
    return [own(empty(1), "counter.events/0/0/due", 0, of)._replace(timestamp=at)]


# -- a broker's clock


def test_a_time_that_is_not_believed_is_cut() -> None:
    decision = decide_by(fresh(), commands((add(1), "a"), at=NOW + DAY_MS), latest=NOW + 60_000)
    assert [record.timestamp for record in decision.records] == [NOW + 60_000]


def test_once_the_clock_is_right_again_time_goes_on_from_there() -> None:
    aggregates = fresh()
    aggregates.merge(decide_by(aggregates, commands((add(1), "a"), at=NOW + DAY_MS), latest=NOW + 60_000))
    after = decide_by(aggregates, commands((add(1), "b"), start=1, at=NOW + 90_000), latest=NOW + 150_000)
    assert [record.timestamp for record in after.records] == [NOW + 90_000]


@pytest.mark.parametrize("is_noise", [False, True])
def test_a_command_whose_time_was_cut_is_recognised_where_it_stands_and_one_that_came_later_is_not(
    is_noise: bool,
) -> None:
    # given a command that was decided while the broker's clock was a day ahead
    record = commands((add(1), "a"), at=NOW + DAY_MS)[0]
    record = record._replace(value=b"junk") if is_noise else record
    aggregates = fresh()
    decision = decide_by(aggregates, [record], latest=NOW + 60_000)
    aggregates.merge(decision)
    # when it is held against what its log says, by who decided it and by who reads that
    by_log = decided_by(event_record(landed(decision.records, 0)[0]))
    for decided in (aggregates.inbound.inlet(Way.COMMANDS).decided, by_log):
        # then it is the one, and another that came behind it is not
        assert decided is not None
        assert is_the_same(decided, record)
        assert not is_the_same(decided, record._replace(timestamp=record.timestamp + 1))


# -- a host's clock


def test_a_deadline_that_is_called_before_its_moment_changes_nothing() -> None:
    decision = decide_all(opened(), called(MOMENT - 1))
    assert decision.records == []
    ((intent, at),) = decision.early
    assert (intent.key.encode(), at) == (OPENED, MOMENT - 1)


def test_at_its_moment_it_counts() -> None:
    decision = decide_all(opened(), called(MOMENT))
    assert (said(decision), decision.early) == ([("Emptied", "counter.events/0/0/due")], [])


def test_nor_does_it_count_because_a_broker_says_so_that_is_not_believed() -> None:
    decision = decide_by(opened(), called(MOMENT + DAY_MS), latest=MOMENT - 1)
    assert decision.records == [] and len(decision.early) == 1


class Clocks:
    """A host's clock, and one that nobody sets (s)."""

    def __init__(self) -> None:
        self.host, self.steady = NOW / 1000, 5.0
        self.calendar = Calendar(lambda: self.host, lambda: self.steady)

    def later(self, seconds: float) -> None:
        self.host += seconds
        self.steady += seconds

    @property
    def says(self) -> int:
        return round(self.calendar.now())


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_it_is_what_the_hosts_clock_shows(clocks: Clocks) -> None:
    clocks.later(10)
    assert clocks.says == NOW + 10_000


def test_while_that_is_ahead_it_is_what_the_broker_said_and_has_elapsed_since(clocks: Clocks) -> None:
    # given a host whose clock is a day ahead, and a deadline that it called
    clocks.host += DAY_MS / 1000
    clocks.calendar.correct(NOW)
    # then it is called again when its moment comes
    clocks.later(10)
    assert clocks.says == NOW + 10_000


def test_a_hosts_clock_that_is_right_again_is_believed(clocks: Clocks) -> None:
    clocks.host += 3600
    clocks.calendar.correct(NOW)
    clocks.later(10)
    clocks.host -= 3600
    assert clocks.says == NOW + 10_000
    assert not clocks.calendar.is_corrected
