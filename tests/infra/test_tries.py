"""What was tried in vain, and what people want to be tried again: as a topic says it where anybody may write."""

import pytest

from infra.wire.record import Outgoing, Read
from infra.write.tries import ALL, MOST, again_record, asked_again, state_record, states

TRIED = {"key": "counter.events/0/1", "target": "bell", "tries": 3, "said": "away"}


def read(*records: Outgoing) -> list[Read]:
    return [Read("weft.effects", 0, i, 0, r.key, r.value, ()) for i, r in enumerate(records)]


def test_the_last_that_is_said_of_a_partition_counts() -> None:
    records = read(state_record("counter", 0, 3, [TRIED]), state_record("counter", 0, 1, []))
    assert [(said["partition"], said["parked"]) for said in states(records)] == [(0, 1)]


def test_a_partition_where_all_goes_well_is_not_spoken_of() -> None:
    assert states(read(state_record("counter", 0, 3, [TRIED]), state_record("counter", 0, 0, []))) == []


def test_what_is_said_of_a_partition_has_a_bound() -> None:
    (said,) = states(read(state_record("counter", 0, 0, [TRIED] * (2 * MOST))))
    assert len(said["tried"]) == MOST


def test_who_wants_what_again_is_known_by_the_context() -> None:
    records = read(
        again_record("counter", "counter.events/0/1", 5),
        again_record("counter", ALL, 7),
        again_record("other", "other.events/0/1", 9),
    )
    assert asked_again(records, "counter") == {"counter.events/0/1": 5, "": 7}


GARBAGE = [
    b"",
    b"{",
    b"[" * 100_000,
    b"5",
    b"\xff",
    b'{"at": "soon"}',
    b'{"at": -1}',
    b'{"at": 1%s}' % (b"0" * 400),
    b'{"context": 5}',
    b'{"parked": 1, "tried": 5}',
]
NESTED = b'{"context": "counter", "partition": 0, "parked": 1, "tried": [5]}'


@pytest.mark.parametrize("value", [*GARBAGE, NESTED, None], ids=str)
@pytest.mark.parametrize("key", [b"state/counter/0", b"again/counter/*", b"\xff", b"", None])
def test_what_is_no_such_record_is_passed_over(key: bytes | None, value: bytes | None) -> None:
    good = read(state_record("counter", 1, 1, []), again_record("counter", "k", 5))
    records = [*good, Read("weft.effects", 0, 9, 0, key, value, ())]
    assert [said["partition"] for said in states(records)] == [1]
    assert asked_again(records, "counter") == {"k": 5}
