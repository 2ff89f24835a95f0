"""What a log's records have to be to each other, and how a row that is not what the log says is told."""

from dataclasses import replace
from typing import Any

import pytest

from infra.messages import changed
from infra.read.fold import one_by_one
from infra.read.rebuild.compare import compare_rows, traced
from infra.read.verify import Chain
from infra.settings import DAY_MS
from infra.shop import laws
from infra.shop.mesh import mesh
from infra.wire.envelope import CAUSATION, COMMAND_OFFSET, DIGEST, EXPECTED_OFFSET, ID, OWN_OFFSET, REACTION
from infra.wire.record import Read, with_header
from schemas.orders import OrderConfirmed
from tests.infra.recorded_log import CODEC, LOG

ORDERS = mesh.projections["orders"]
PARTITION = [r for r in LOG if r.topic == "orders.events" and r.partition == 0]


def wrong(records: list[Read]) -> list[str]:
    chain = Chain(mesh.context("orders"), mesh.codec, 30 * DAY_MS)
    for record in records:
        chain.add(record)
    return chain.wrong


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


def test_a_command_that_is_decided_again_is_seen() -> None:
    first, last = PARTITION[0], len(PARTITION)
    headers = _with(first, EXPECTED_OFFSET, b"%d" % last)
    headers = with_header(headers, ID, b"orders.events/0/%d" % last)
    again = first._replace(offset=last, timestamp=PARTITION[-1].timestamp, headers=headers)
    (complaint,) = wrong([*PARTITION, again])
    assert f"decides {dict(first.headers)[CAUSATION].decode()} again, which 0/" in complaint  # type: ignore[union-attr]


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
    differences = compare_rows(ORDERS, one_by_one(forgetful, CODEC, records), one_by_one(ORDERS, CODEC, records))
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


def test_rows_too_many_and_too_few_are_told() -> None:
    rows = one_by_one(ORDERS, CODEC, [r for r in LOG if r.topic == "orders.events"])
    first, second = sorted(rows)[:2]
    live = {k: row for k, row in rows.items() if k != first}
    log = {k: row for k, row in rows.items() if k != second}
    differences = compare_rows(ORDERS, live, log)
    assert (differences.missing, differences.extra, differences.changed) == (1, 1, 0)
    assert [change.kind for change in differences.samples] == ["missing", "extra"]
