"""What a policy makes of what others say, and of what it does not know."""

from collections.abc import Iterable
from typing import Any

import pytest

from infra.errors import OfNewerCode
from infra.wire.record import Read, with_header
from infra.write.reactions import commands_from
from tests.infra.counter_log import CODEC, CONTEXT, add, commands, decide, fresh, landed

NEWER = b"\0\x00\xff\xff\xff"  # of a schema that is locked nowhere


def said() -> list[Read]:
    """A counter that was filled: added to, and then full, to which its policy reacts."""
    return landed(decide(fresh(), commands((add(1, 3), "a"))).records, 0)


def of_newer_code(record: Read) -> Read:
    return record._replace(value=NEWER, headers=with_header(record.headers, "ce_type", b"counter.Newer"))


def reactions(records: Iterable[Read]) -> list[Any]:
    return list(commands_from(CONTEXT, CODEC, records, "t"))


def test_what_a_policy_knows_and_does_not_hear_is_passed_over() -> None:
    added, filled = said()
    assert reactions([added]) == [] and len(reactions([added, filled])) == 2


def test_what_newer_code_has_said_stops_a_policy_that_does_not_know_it() -> None:
    added, filled = said()
    with pytest.raises(OfNewerCode, match="this code is older than the log"):
        reactions([of_newer_code(added), filled])


def test_what_does_not_count_stops_no_policy() -> None:
    added, filled = said()
    void = of_newer_code(added)._replace(offset=7)
    assert len(reactions([void, void._replace(value=b"junk"), filled])) == 2
