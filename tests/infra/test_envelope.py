"""The headers of an event, byte by byte: what is in a log stays there for ever, and others read it too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import LogDamaged
from infra.wire.envelope import (
    DIGEST,
    DUE_OF,
    OUTCOME_OF,
    REACTION,
    Cause,
    EventEnvelope,
    EventRecord,
    Way,
    accepted,
    cause_of,
    command_headers,
    copied_headers,
    event_record,
    is_accepted,
    meta,
)
from infra.wire.record import Header, Outgoing, Read

AT = 1_700_000_000_000
ENVELOPE = EventEnvelope("orders", "orders.events", 1, ["orders.OrderPlaced"])
ASKED = (b"order-2", b"c-1", b"saga-1", Way.COMMANDS, 41, b"orders.PlaceOrder")
SHARED = ENVELOPE.command_part(*ASKED, (DIGEST, b"8 bytes."), b"00-t")
EVENT = (
    ("content-type", b"application/avro"),
    ("ce_specversion", b"1.0"),
    ("ce_source", b"/orders"),
    ("ce_subject", b"order-2"),
    ("ce_correlationid", b"saga-1"),
    ("ce_causationid", b"c-1"),
    ("weft-command-offset", b"41"),
    ("weft-command-type", b"orders.PlaceOrder"),
    ("weft-command-digest", b"8 bytes."),
    ("traceparent", b"00-t"),
    ("ce_id", b"orders.events/1/12"),
    ("ce_type", b"orders.OrderPlaced"),
    ("weft-expected-offset", b"12"),
)
COPY = (
    *EVENT[:6],
    ("weft-command-offset", b"-1"),
    *EVENT[7:10],
    ("weft-original-command-offset", b"41"),
    ("weft-earlier-places", b"id/1/12"),
    *EVENT[10:12],
    ("weft-expected-offset", b"70"),
)


def event(headers: tuple[Header, ...] = EVENT, offset: int = 12) -> Read:
    return Read("orders.events", 1, offset, AT, b"order-2", b"value", headers)


def copy() -> Read:
    return Read("orders.events.2", 3, 70, AT, b"order-2", b"value", COPY)


def test_an_event_has_these_headers_in_this_order() -> None:
    assert ENVELOPE.headers(SHARED, b"orders.OrderPlaced", 12) == EVENT


def test_without_a_trace_there_is_no_header_for_it() -> None:
    shared = ENVELOPE.command_part(*ASKED, (DIGEST, b"8 bytes."))
    assert ENVELOPE.headers(shared, b"orders.OrderPlaced", 12) == (*EVENT[:9], *EVENT[10:])


@pytest.mark.parametrize(
    "identity", [(REACTION, b"id/0/7/1"), (OUTCOME_OF, b"orders.events/1/3"), (DUE_OF, b"orders.events/1/3"), None]
)
def test_what_a_context_asked_itself_says_so_and_by_what_it_is_known(identity: Header | None) -> None:
    shared = ENVELOPE.command_part(b"o", b"c", b"s", Way.OWN, 41, b"orders.RecordStock", identity)
    headers = ENVELOPE.headers(shared, b"orders.OrderPlaced", 12)
    read = event_record(event(headers))
    assert (read.way, read.command_offset, read.identity, read.name) == (Way.OWN, 41, identity, (b"c",))
    assert event_record(event(headers[::-1])) == read, "in any order"
    copied = event_record(event(tuple(copied_headers(headers, b"id/1/12", 12))))
    assert (copied.way, copied.command_offset, copied.identity) == (Way.OWN, -1, identity)
    assert copied.owns == (b"1",)


def test_a_copied_event_keeps_its_id_and_says_where_it_and_its_command_were() -> None:
    assert tuple(copied_headers(EVENT, b"id/1/12", 70)) == COPY


def test_a_copy_of_a_copy_says_where_its_command_was_first_and_itself_each_time() -> None:
    places = ("weft-earlier-places", b"id/1/12 other/3/70")
    assert tuple(copied_headers(COPY, b"other/3/70", 5)) == (
        *COPY[:11],
        places,
        *COPY[12:14],
        ("weft-expected-offset", b"5"),
    )


def test_an_event_is_read_as_it_was_made() -> None:
    read = EventRecord(
        b"order-2", b"value", 12, AT, b"c-1", Way.COMMANDS, 41, b"saga-1", ("weft-command-digest", b"8 bytes.")
    )
    assert event_record(event()) == read
    assert event_record(event(EVENT[::-1])) == read, "in any order"


def test_a_copied_event_goes_by_its_id_and_moves_no_cursor() -> None:
    read = event_record(copy())
    assert (read.origin, read.command_offset) == (b"orders.events/1/12", -1)


def test_what_is_known_of_a_copied_event_is_what_was_known_of_the_first() -> None:
    assert meta(copy(), dict(COPY)) == meta(event(), dict(EVENT))


@pytest.mark.parametrize(
    "headers",
    [(), EVENT[:6], (*EVENT[:6], ("weft-command-offset", b"many")), (*EVENT[:6], ("weft-command-offset", None))],
)
def test_headers_that_are_no_events_are_damage(headers: tuple[Header, ...]) -> None:
    with pytest.raises(LogDamaged, match=r"orders\.events/1/12 was accepted but cannot be read"):
        event_record(event(headers))


@pytest.mark.parametrize(
    ("header", "counts"), [(b"7", True), (b"8", False), (b"07", False), (b"", False), (None, False)]
)
def test_a_record_counts_where_its_writer_expected_it(header: bytes | None, counts: bool) -> None:
    assert accepted({"weft-expected-offset": header}, 7) is counts


def test_a_record_without_the_header_does_not_count() -> None:
    assert accepted({}, 0) is False
    assert not is_accepted(event((), 0))


def test_the_rule_holds_wherever_the_header_stands() -> None:
    assert is_accepted(event()) and is_accepted(event(EVENT[::-1]))
    assert not is_accepted(event(offset=13)) and not is_accepted(event(EVENT[::-1], 13))


TEXT = st.binary(max_size=255)


@given(TEXT, TEXT, TEXT, TEXT, TEXT, st.none() | TEXT, st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_the_size_of_an_events_record_is_bounded_before_its_value_is_known(
    key: bytes,
    command_id: bytes,
    correlation: bytes,
    type_: bytes,
    answers: bytes,
    trace: bytes | None,
    offset: int,
    lands: int,
) -> None:
    shared = ENVELOPE.command_part(
        key, command_id, correlation, Way.COMMANDS, offset, type_, (OUTCOME_OF, answers), trace
    )
    assert Outgoing(key, b"", ENVELOPE.headers(shared, b"orders.OrderPlaced", lands)).size() <= shared.size


def test_a_command_of_ours_has_these_headers_in_this_order() -> None:
    assert command_headers("orders.PlaceOrder", "c-1", Cause("saga-1", "e-1", AT, "00-t")) == [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"orders.PlaceOrder"),
        ("ce_id", b"c-1"),
        ("ce_correlationid", b"saga-1"),
        ("ce_causationid", b"e-1"),
        ("traceparent", b"00-t"),
        ("weft-cause-time", b"%d" % AT),
    ]


def test_a_command_nobody_caused_has_no_more_than_its_type_and_id() -> None:
    assert [name for name, _ in command_headers("orders.PlaceOrder", "c-1")] == ["ce_specversion", "ce_type", "ce_id"]


def test_what_an_event_causes_is_of_its_saga_and_its_trace() -> None:
    assert cause_of(event(), dict(EVENT)) == Cause("saga-1", "orders.events/1/12", AT, "00-t")
