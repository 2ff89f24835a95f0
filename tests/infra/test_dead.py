"""Dead letters as operators see them: which wait in a queue, and what is sent again of them."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from infra.cli.console import guarded
from infra.cli.dead import discard, redrive
from infra.errors import Unusable
from infra.ops.dead import Letter, Office, Queues, again, discard_of
from infra.ops.positions import stranded
from infra.settings import Settings
from infra.wire.record import Read
from infra.write.reactions import outgoing_command
from tests.counter.commands.counter import Carry
from tests.counter.mesh import mesh
from tests.infra.counter_log import CODEC, CONTEXT, NOW, decide_all, fresh, junk, landed


def letter_of(record: Read) -> Letter:
    """What is kept of a command that could not be processed."""
    decision = decide_all(fresh(), [record])
    (kept,) = decision.dead
    queues = Queues(CONTEXT, CODEC, {}, {})
    list(queues.fold(landed(decision.records, 0)))
    return queues.letter(Read(CONTEXT.dead_topic, 0, 0, NOW, kept.key, kept.value, kept.headers))


NO_IDS = [None, b"\xff", b"a\0b", b"k" * 300, b"k" * 2000]


@pytest.mark.parametrize("key", NO_IDS, ids=lambda key: str(key)[:10])
def test_a_letter_whose_key_is_no_id_is_kept_and_waits_for_nothing(key: bytes | None) -> None:
    assert letter_of(junk(b"c1", b"bad", 0)._replace(key=key)).status == "kept"


def test_a_letter_of_an_aggregate_waits() -> None:
    assert letter_of(junk("\ufffd".encode(), b"bad", 0)).status == "waiting"


def test_what_does_not_wait_is_neither_sent_again_nor_discarded() -> None:
    letter = letter_of(junk(b"\xff", b"bad", 0))
    office = Office(Settings(), mesh, CONTEXT)
    with pytest.raises(Unusable, match="bad does not wait: its key is no id"):
        office.redrive([letter], 0)
    with pytest.raises(Unusable, match="bad does not wait: its key is no id"):
        office.discard(letter, "it never will", 0)


def test_what_only_its_context_asks_has_to_be_dealt_with_before_there_are_two_ways() -> None:
    # given what a policy asked by the one way there was, and what anybody may ask, and neither could be processed
    message = Carry(counter_id="c1")
    command = outgoing_command(CODEC, message, "other.events/0/7/counter/0")
    mine = letter_of(Read(CONTEXT.commands_topic, 0, 0, NOW, command.key, b"junk", command.headers))
    theirs = letter_of(junk(b"c1", b"bad", 0))
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


def test_what_waits_is_asked_under_its_own_id_also_if_that_can_only_be_shown() -> None:
    letter = letter_of(junk(b"c1", b"\xfe", 0))
    for asked in (again(letter), discard_of(letter, "it never will")):
        assert (asked.topic, asked.key, dict(asked.headers)["ce_id"]) == ("counter.commands", "c1", b"\xfe")
