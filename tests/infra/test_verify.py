"""What a log's records have to be to each other, and how a row that is not what the log says is told."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka import reading
from infra.messages import changed
from infra.read.chain import Chain
from infra.read.held import Room
from infra.read.rebuild.compare import Change, traced
from infra.read.verify import Anew
from infra.settings import DAY_MS
from infra.shop import laws
from infra.shop.mesh import mesh
from infra.wire.envelope import CAUSATION, COMMAND_OFFSET, DIGEST, EXPECTED_OFFSET, ID, OWN_OFFSET, REACTION
from infra.wire.record import Read, with_header
from schemas.orders import OrderConfirmed
from tests.infra.anew import AMPLE, compared, rows_of
from tests.infra.recorded_log import CODEC, LOG

ORDERS = mesh.projections["orders"]
PARTITION = [r for r in LOG if r.topic == "orders.events" and r.partition == 0]


def wrong(records: list[Read], room: Room = AMPLE, batch: int = 1000) -> list[str]:
    with Chain(mesh.context("orders"), mesh.codec, 30 * DAY_MS, {0: records[-1].offset + 1}, room) as chain:
        for start in range(0, len(records), batch):
            chain.take(records[start : start + batch])
    return chain.wrong + ["more"] * chain.more


def test_a_log_that_a_mesh_wrote_is_whole() -> None:
    assert wrong(PARTITION) == []


def test_a_record_that_is_gone_is_missed() -> None:
    (complaint,) = wrong([*PARTITION[:5], *PARTITION[6:]])
    assert complaint.endswith("/6 follows 4: records are gone")


def test_time_that_goes_back_is_seen() -> None:
    late = PARTITION[5]._replace(timestamp=PARTITION[4].timestamp - 10)
    (complaint,) = wrong([*PARTITION[:5], late])
    assert "was recorded 10 ms before the one in front of it" in complaint


def test_an_id_that_is_not_the_place_is_seen() -> None:
    other = PARTITION[3]._replace(headers=_with(PARTITION[3], ID, b"orders.events/0/99"))
    (complaint,) = wrong([*PARTITION[:3], other])
    assert "has the id b'orders.events/0/99'" in complaint


def moved(record: Read, offset: int, days: float = 0, command: bytes | None = None) -> Read:
    """The record as it would be there, so much later, and of another command if one is named."""
    headers = with_header(record.headers, EXPECTED_OFFSET, b"%d" % offset)
    headers = with_header(headers, ID, b"orders.events/0/%d" % offset)
    headers = with_header(headers, CAUSATION, command) if command else headers
    return record._replace(offset=offset, timestamp=record.timestamp + int(days * DAY_MS), headers=headers)


@pytest.mark.parametrize("room", [AMPLE.bytes, 0])
def test_a_command_that_is_decided_again_is_seen(room: float, tmp_path: Path) -> None:
    first, last = PARTITION[0], len(PARTITION)
    again = moved(first, last)._replace(timestamp=PARTITION[-1].timestamp)
    (complaint,) = wrong([*PARTITION, again], Room(room, tmp_path), 10)
    assert f"decides {dict(first.headers)[CAUSATION].decode()} again, which 0/" in complaint  # type: ignore[union-attr]


def test_a_log_is_whole_though_its_commands_have_no_room(tmp_path: Path) -> None:
    assert wrong(PARTITION, Room(0, tmp_path), 10) == []


def in_turns(commands: int, days: float, room: Room) -> tuple[int, int]:
    """So many commands, decided in turns and a thousand times, so many days apart: what is wrong, and how many are known then."""
    with Chain(mesh.context("orders"), mesh.codec, 30 * DAY_MS, {0: 1001}, room) as chain:
        for n in range(1000):
            chain.take([moved(PARTITION[0], n, n * days, b"c-%d" % (n % commands))])
        return len(chain.wrong) + chain.more, sum(1 for _ in chain._decided.in_order())


@pytest.mark.parametrize("room", [AMPLE.bytes, 0])
def test_a_command_is_remembered_until_it_may_be_decided_again(room: float, tmp_path: Path) -> None:
    assert in_turns(31, 1, Room(room, tmp_path))[0] == 0
    assert in_turns(30, 1, Room(room, tmp_path))[0] == 1000 - 30


@pytest.mark.parametrize("room", [AMPLE.bytes, 0])
def test_and_no_longer_than_twice_that_long(room: float, tmp_path: Path) -> None:
    assert in_turns(1000, 1, Room(room, tmp_path))[1] <= 2 * (
        2 * 30
    )  # each by two names: nobody can say by which way it came


def test_of_much_that_is_wrong_the_first_is_told_and_how_much_more_there_is() -> None:
    others = [r._replace(headers=_with(r, ID, b"another")) for r in PARTITION[:12]]
    complaints = wrong(others)
    assert [complaint.partition(" ")[2] for complaint in complaints[:5]] == ["has the id b'another'"] * 5
    assert complaints[5:] == ["more"] * 7


def test_what_was_decided_before_there_were_two_ways_is_not_decided_again_by_the_own_one() -> None:
    # given an answer of such a mesh: by the one way there was, and without a digest
    first, last = PARTITION[0], len(PARTITION)
    asked = {COMMAND_OFFSET, OWN_OFFSET, DIGEST, REACTION}
    plain = [(name, value) for name, value in first.headers if name not in asked]
    old = first._replace(headers=with_header(plain, COMMAND_OFFSET, b"0"))
    # when its policy is asked the same again
    headers = with_header(with_header(plain, OWN_OFFSET, b"0"), EXPECTED_OFFSET, b"%d" % last)
    headers = with_header(headers, ID, b"orders.events/0/%d" % last)
    again = first._replace(offset=last, timestamp=PARTITION[-1].timestamp, headers=headers)
    # then that is seen, by the log and by the books
    (complaint,) = wrong([old, *PARTITION[1:], again])
    assert f"decides {dict(first.headers)[CAUSATION].decode()} again, which 0/" in complaint  # type: ignore[union-attr]
    complaints = laws.broken(laws.evidence(CODEC, [old, again]))
    assert any("was applied more than once" in complaint for complaint in complaints)


def _with(record: Read, name: str, value: bytes) -> list[tuple[str, bytes | None]]:
    return with_header(record.headers, name, value)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The orders projection with a bug: a confirmed order has no total."""

    def project(row: Any, event: Any, meta: Any) -> Any:
        after = ORDERS.project(row, event, meta)
        return changed(after, total_minor=0) if isinstance(event, OrderConfirmed) else after

    return replace(ORDERS, project=project)


def test_a_wrong_projection_is_told_with_the_row_and_the_event(forgetful: Any) -> None:
    # given rows that a wrong `project` made
    records = [r for r in LOG if r.topic == "orders.events"]
    differences = compared(ORDERS, rows_of(forgetful, records), rows_of(ORDERS, records))
    # when they are compared with the log
    samples = traced(ORDERS, CODEC, differences.samples, [records])
    # then each says the row, the column, both values and which event set it
    confirmed = {r.key for r in records if dict(r.headers).get("ce_type") == b"orders.OrderConfirmed"}
    assert differences.by_column == {"total_minor": len(confirmed)}
    (line,) = samples[0].lines()
    row, total = samples[0].row, samples[0].columns["total_minor"][1]
    placed = next(r for r in records if r.key == row.encode())
    assert line == (
        f"{row}.total_minor is 0, the log says {total} "
        f"(orders.events/{placed.partition}/{placed.offset} orders.OrderPlaced)"
    )


ENDS = {(r.topic, r.partition): r.offset + 1 for r in LOG if r.topic == "orders.events"}


@pytest.mark.parametrize("room", [AMPLE.bytes, 0])
@pytest.mark.parametrize("half_way_last", [False, True])
def test_rows_are_folded_on_or_anew_to_where_the_live_ones_stand(
    half_way_last: bool, room: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a log, and rows that stand in the middle of it, or at its end
    def read_all(client: Any, start: Mapping[Any, int], end: Mapping[Any, int]) -> Iterator[list[Read]]:
        for place, until in end.items():
            yield [r for r in LOG if (r.topic, r.partition) == place and start.get(place, 0) <= r.offset < until]

    monkeypatch.setattr(reading, "read_all", read_all)
    half = {place: end // 2 for place, end in ENDS.items()}
    first, last = (ENDS, half) if half_way_last else (half, ENDS)
    # when they are folded to there from where they were, in front of it or behind
    with Anew(ORDERS, CODEC, None, Room(room, tmp_path)) as anew:
        anew.fold_to(first)
        anew.fold_to(last)
        found = dict(anew.rows())
    # then they are what the log says up to there
    assert found == rows_of(ORDERS, [r for r in LOG if r.offset < last.get((r.topic, r.partition), 0)])


def test_rows_too_many_and_too_few_are_told() -> None:
    rows = rows_of(ORDERS, [r for r in LOG if r.topic == "orders.events"])
    first, second = sorted(rows)[:2]
    live = {k: row for k, row in rows.items() if k != first}
    log = {k: row for k, row in rows.items() if k != second}
    differences = compared(ORDERS, live, log)
    assert (differences.missing, differences.extra, differences.changed) == (1, 1, 0)
    assert [change.kind for change in differences.samples] == ["missing", "extra"]


class Row(NamedTuple):
    a: int
    b: int


class Pair:
    """A projection as far as a comparison knows it."""

    columns = ("a", "b")


ROWS = st.dictionaries(st.text(max_size=2), st.builds(Row, st.integers(0, 2), st.integers(0, 2)), max_size=12)


@given(ROWS, ROWS)
def test_what_differs_is_what_two_dicts_differ_in(live: Mapping[str, Row], log: Mapping[str, Row]) -> None:
    differences = compared(Pair, live, log)  # type: ignore[arg-type]
    changed_rows = sorted(row for row in live.keys() & log.keys() if live[row] != log[row])
    missing, extra = sorted(log.keys() - live.keys()), sorted(live.keys() - log.keys())
    by_column = {c: sum(getattr(live[r], c) != getattr(log[r], c) for r in changed_rows) for c in Pair.columns}
    assert differences.rows == len(live.keys() | log.keys())
    assert (differences.missing, differences.extra, differences.changed) == (*map(len, (missing, extra, changed_rows)),)
    assert differences.by_column == {column: count for column, count in by_column.items() if count}
    samples = [Change(r, "changed", _values(live[r], log[r])) for r in changed_rows[:5]]
    samples += [Change(r, kind, {}) for kind, rows in (("missing", missing), ("extra", extra)) for r in rows]
    assert differences.samples == samples[:5]


def _values(live: Row, log: Row) -> dict[str, tuple[int, int]]:
    pairs = {"a": (live.a, log.a), "b": (live.b, log.b)}
    return {column: pair for column, pair in pairs.items() if pair[0] != pair[1]}
