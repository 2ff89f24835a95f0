"""Dead letters as operators see them: which wait in a queue, and what is sent again of them."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from infra.cli.console import guarded
from infra.cli.dead import Which, discard, redrive
from infra.edge.client import Asked
from infra.errors import Unusable
from infra.ops.dead import Letter, Office, Queues, again, discard_of
from infra.ops.positions import stranded
from infra.settings import Settings
from infra.wire.record import Outgoing, Read
from infra.write.reactions import outgoing_command
from tests.counter.commands.counter import Carry
from tests.counter.mesh import mesh
from tests.infra.counter_log import CODEC, CONTEXT, NOW, add, carry, commands, decide_all, failing, fresh, junk, landed


def letter_of(record: Read, as_recorded: Callable[[Outgoing], Outgoing] = lambda record: record) -> Letter:
    """What is kept of a command that could not be processed."""
    decision = decide_all(fresh(), [record])
    (kept,) = decision.dead
    queues = Queues(CONTEXT, CODEC, {}, {})
    list(queues.fold(landed(map(as_recorded, decision.records), 0)))
    return queues.letter(Read(CONTEXT.dead_topic, 0, 0, NOW, kept.key, kept.value, kept.headers))


def blocking(record: Outgoing) -> Outgoing:
    """A rejection as it was recorded when every one blocked its key."""
    return record._replace(value=CODEC.encode(replace(CODEC.decode(record.value or b""), blocks=True)))


NO_IDS = [None, b"\xff", b"a\0b", b"k" * 300, b"k" * 2000]


@pytest.mark.parametrize("key", NO_IDS, ids=lambda key: str(key)[:10])
def test_a_letter_whose_key_is_no_id_is_kept_and_waits_for_nothing(key: bytes | None) -> None:
    assert letter_of(junk(b"c1", b"bad", 0)._replace(key=key)).status == "kept"


def test_a_letter_of_an_aggregate_waits() -> None:
    assert letter_of(failing("\ufffd".encode(), b"bad", 0)).status == "waiting"


def test_a_letter_of_what_was_no_command_is_kept_and_waits_for_nothing() -> None:
    assert letter_of(junk(b"c1", b"bad", 0)).status == "kept"


def test_what_does_not_wait_is_neither_sent_again_nor_discarded() -> None:
    letter = letter_of(junk(b"c1", b"bad", 0))
    office = Office(Settings(), mesh, CONTEXT)
    with pytest.raises(Unusable, match="bad does not wait: it was no command"):
        office.redrive([letter], 0)
    with pytest.raises(Unusable, match="bad does not wait: it was no command"):
        office.discard(letter, "it never will", 0)


def test_what_only_its_context_asks_has_to_be_dealt_with_before_there_are_two_ways() -> None:
    # given what a policy asked by the one way there was, and what anybody may ask, and neither could be processed
    message = Carry(counter_id="c1")
    command = outgoing_command(CODEC, message, "other.events/0/7/counter/0")
    mine = letter_of(Read(CONTEXT.commands_topic, 0, 0, NOW, command.key, b"junk", command.headers), blocking)
    theirs = letter_of(failing(b"c1", b"bad", 0))
    by_its_way = letter_of(Read(CONTEXT.own_topic, 0, 0, NOW, command.key, b"junk", command.headers))
    # then it is found as long as it waits
    assert stranded(CODEC, CONTEXT, [mine, theirs, by_its_way, replace(mine, status="processed")]) == [mine]


class OneLetter(Office):
    """Where nothing is but a letter whose key is no id."""

    def letters(self) -> list[Letter]:
        return [letter_of(junk(b"\xff", b"bad", 0))]


@pytest.mark.parametrize(
    "ask", [lambda: redrive("counter", "\ufffd"), lambda: discard("counter", "bad", reason="none")]
)
def test_who_asks_for_what_does_not_wait_is_told_and_the_command_fails(
    ask: Callable[[], int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("infra.cli.dead._office", lambda context: OneLetter(Settings(), mesh, CONTEXT))
    assert (guarded(ask), " wait" in capfd.readouterr().err) == (1, True)


def test_what_waits_is_asked_under_its_own_id() -> None:
    letter = letter_of(failing(b"c1", "\ufffd".encode(), 0))
    for asked in (again(letter), discard_of(letter, "it never will")):
        assert (asked.topic, asked.key, dict(asked.headers)["ce_id"].decode()) == ("counter.commands", "c1", "\ufffd")


# -- a context whose letters are sent again


class Counters(Office):
    """The dead letters of one partition of counters that takes what is posted, the ways it is asked by in this order."""

    def __init__(self, *order: str) -> None:
        super().__init__(Settings(), mesh, CONTEXT)
        self._order = order or ("counter.commands", "counter.own")
        self.ends = dict.fromkeys(self._order, 0)
        self._read = 0
        self.aggregates = fresh()
        self.log: list[Read] = []
        self.kept: list[Read] = []

    def take(self, *records: Read) -> None:
        """Decide records one after the other, wherever they say that they are."""
        for record in records:
            record = record._replace(offset=self.ends[record.topic])
            self.ends[record.topic] += 1
            decision = decide_all(self.aggregates, [record])
            self.log += landed(decision.records, len(self.log))
            self.kept += [
                Read(CONTEXT.dead_topic, 0, len(self.kept) + i, NOW + len(self.kept) + i, r.key, r.value, r.headers)
                for i, r in enumerate(decision.dead)
            ]

    def letters(self) -> list[Letter]:
        self.queues = Queues(CONTEXT, CODEC, {}, {})
        self.poll()
        return [self.queues.letter(record) for record in self.kept]

    def poll(self, *_: Any) -> tuple[list[Read], None]:
        if not self.queues.history:
            self._read = 0
            list(self.queues.fold(self.log))
        new, self._read = self.log[self._read :], len(self.log)
        return new, None

    def post_all(self, settings: Settings, mesh: Any, asked: Iterable[Asked]) -> None:
        posted = [Read(a.topic, 0, 0, NOW, a.key.encode(), a.value, a.headers) for a in asked]
        for topic in self._order:
            self.take(*(record for record in posted if record.topic == topic))

    def status(self) -> list[tuple[str, str, str, str]]:
        return [(letter.way, letter.key, letter.id, letter.status) for letter in self.letters()]


@pytest.fixture
def at_work(monkeypatch: pytest.MonkeyPatch) -> Callable[[Counters], Counters]:
    """`weft dead` works on these counters."""

    def work_on(counters: Counters) -> Counters:
        monkeypatch.setattr("infra.cli.dead._office", lambda context: counters)
        monkeypatch.setattr("infra.ops.dead.post_all", counters.post_all)
        monkeypatch.setattr("infra.kafka.reading.opened", lambda settings: nullcontext())
        monkeypatch.setattr("infra.kafka.reading.assign", lambda client, ends: None)
        monkeypatch.setattr("infra.kafka.reading.poll", counters.poll)
        return counters

    return work_on


AtWork = Callable[[Counters], Counters]


def of_both_ways(*order: str) -> Counters:
    """A queue of what both ways brought, in turns."""
    counters = Counters(*order)
    counters.take(carry(1, b"t/0/7/0", 0)._replace(value=b"junk"))
    counters.take(
        *commands((add(1), "s1")), carry(1, b"t/0/8/0", 0), *commands((add(1), "s2")), carry(1, b"t/0/9/0", 0)
    )
    counters.post_all(Settings(), mesh, [discard_of(counters.letters()[0], "junk")])
    return counters


@pytest.mark.parametrize(
    "order", [("counter.commands", "counter.own"), ("counter.own", "counter.commands")], ids=lambda order: order[0]
)
def test_a_queue_of_both_ways_is_sent_again_once_and_in_its_order(order: tuple[str, str], at_work: AtWork) -> None:
    counters = at_work(of_both_ways(*order))
    before = len(counters.log)
    assert guarded(lambda: redrive("counter", timeout=1)) == 0
    causes = [dict(record.headers)["ce_causationid"] for record in counters.log[before:]]
    assert causes == [b"s1", b"r-t/0/8/0", b"s2", b"r-t/0/9/0"]


def test_what_is_behind_one_that_is_rejected_again_is_not_sent(at_work: AtWork) -> None:
    counters = at_work(Counters())
    counters.take(carry(1, b"t/0/7/0", 0)._replace(value=b"junk"), *commands((add(1), "s1")))
    assert guarded(lambda: redrive("counter", timeout=1)) == 1
    assert counters.ends == {"counter.own": 2, "counter.commands": 1}


# -- which letter


OURS = b"r-t/0/7/0"


def squatted() -> Counters:
    """A stranger asked something under the id that one of our own was going to have, which cannot be processed either."""
    counters = Counters()
    counters.take(failing(b"his", OURS, 0), carry(1, b"t/0/7/0", 0)._replace(value=b"junk"))
    return counters


def test_an_id_that_several_letters_wait_under_does_not_tell_which(
    at_work: AtWork, capfd: pytest.CaptureFixture[str]
) -> None:
    counters = at_work(squatted())
    assert guarded(lambda: discard("counter", OURS.decode(), reason="junk")) == 1
    assert "--key c1 --way own" in capfd.readouterr().err
    assert [status for *_, status in counters.status()] == ["waiting", "waiting"]


@pytest.mark.parametrize(
    "which", [Which(key="c1"), Which(way="own"), Which(place="counter.dead/0/1")], ids=["key", "way", "place"]
)
def test_a_letter_is_named_by_its_key_its_way_or_its_place(which: Which, at_work: AtWork) -> None:
    counters = at_work(squatted())
    assert guarded(lambda: discard("counter", OURS.decode(), which=which, reason="junk")) == 0
    assert [status for *_, status in counters.status()] == ["waiting", "discarded"]


def test_of_the_letters_of_one_id_the_one_that_waits_is_meant(at_work: AtWork) -> None:
    counters = at_work(squatted())
    for which in (Which(key="his"), Which()):
        assert guarded(lambda w=which: discard("counter", OURS.decode(), which=w, reason="junk")) == 0  # type: ignore[misc]
    assert [status for *_, status in counters.status()] == ["discarded", "discarded"]


def test_what_became_of_one_letter_is_not_told_of_another_of_its_id(
    at_work: AtWork, capfd: pytest.CaptureFixture[str]
) -> None:
    # given two letters of one id, one of which can be processed by now
    counters = Counters()
    counters.take(failing(b"c1", b"bad", 0), *commands((add(1), "same")), failing(b"c2", b"same", 0))
    counters.post_all(Settings(), mesh, [discard_of(counters.letters()[0], "junk")])
    at_work(counters)
    # when both are sent again
    code = guarded(lambda: redrive("counter", timeout=1))
    # then each has its own outcome, and the command fails
    said = capfd.readouterr().out
    assert (code, "same of c1: processed" in said, "same of c2: rejected again" in said) == (1, True, True)


# -- letters that are hard to reach


def test_the_letter_of_what_has_many_headers_is_reached_under_its_id(at_work: AtWork) -> None:
    counters = at_work(Counters())
    many = [(f"h{i}", b"x") for i in range(100)]
    large = carry(1, b"t/0/7/0", 0)._replace(value=b" " * 1_600_000)
    counters.take(large._replace(headers=[*many, *large.headers]))
    assert guarded(lambda: discard("counter", OURS.decode(), reason="none")) == 0
    assert counters.aggregates.queues == {}


def test_a_stranger_cannot_say_of_a_record_of_his_that_it_was_withheld() -> None:
    posted = failing(b"c1", b"bad", 0)
    assert not letter_of(posted._replace(headers=[*posted.headers, ("dlq-withheld", b"")])).is_withheld


@pytest.mark.parametrize(
    ("header", "said_of_it"),
    [("dlq-withheld", "it may name a person"), ("dlq-truncated-from", "no topic could hold all of it")],
)
def test_what_nobody_kept_stops_nobody_elses_letters(
    header: str, said_of_it: str, at_work: AtWork, capfd: pytest.CaptureFixture[str]
) -> None:
    # given a letter that was withheld or cut, and one of another key that can be processed by now
    counters = Counters()
    counters.take(failing(b"c1", b"bad", 0), *commands((add(1), "good")), failing(b"c2", b"withheld", 0))
    counters.post_all(Settings(), mesh, [discard_of(counters.letters()[0], "junk")])
    last = counters.kept[-1]
    counters.kept[-1] = last._replace(value=b"", headers=[*last.headers, (header, b"1")])
    at_work(counters)
    # when all are sent again
    code = guarded(lambda: redrive("counter", timeout=1))
    # then the one is processed, and of the other it is said what to do
    said = capfd.readouterr().out
    assert (code, "good of c1: processed" in said, f"withheld of c2: {said_of_it}" in said) == (1, True, True)
