"""The column path is a shortcut: whatever it answers is what the row path answers."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.orders import PlaceOrder
from infra.messages import Refused
from infra.shop.mesh import mesh
from infra.wire.columns import FEW, constructor
from schemas.orders import OrderLine
from tests.orders.examples import place, placed

CODEC = mesh.codec
LONG = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LINES = st.lists(st.builds(OrderLine, sku=TEXT, quantity=LONG, unit_price_minor=LONG), max_size=4).map(tuple)
ORDERS = st.builds(PlaceOrder, order_id=TEXT, customer_id=TEXT, card=TEXT, currency=TEXT, lines=LINES)


@given(st.lists(ORDERS, min_size=FEW, max_size=3 * FEW))
def test_both_paths_write_the_same_bytes(orders: list[Any]) -> None:
    assert CODEC._columns[PlaceOrder].encode(orders) is not None
    assert CODEC.encode_many(orders) == [CODEC.encode(order) for order in orders]


@given(st.lists(ORDERS, min_size=FEW, max_size=3 * FEW))
def test_both_paths_read_the_same_messages(orders: list[Any]) -> None:
    values = [CODEC.encode(order) for order in orders]
    assert CODEC.decode_many(values) == [CODEC.decode(value) for value in values]


@given(st.lists(st.one_of(ORDERS, st.just(placed), st.just(Refused(code="no", reason="r"))), max_size=80))
def test_types_may_be_mixed(messages: list[Any]) -> None:
    assert CODEC.encode_many(messages) == [CODEC.encode(message) for message in messages]


VALUE = CODEC.encode(place)


@given(st.binary(max_size=40), st.integers(0, FEW))
def test_bytes_that_are_not_exactly_one_message_are_left_to_the_row_path(junk: bytes, where: int) -> None:
    values = [VALUE] * FEW
    values.insert(where, VALUE + junk)
    assert CODEC.decode_many(values) == ([place] * (FEW + 1) if not junk else [None] * (FEW + 1))


@given(st.integers(0, len(VALUE) - 1), st.binary(min_size=1, max_size=3))
def test_damaged_bytes_are_read_as_the_row_path_reads_them(at: int, damage: bytes) -> None:
    value = VALUE[:at] + damage + VALUE[at + len(damage) :]
    message = CODEC.decode_many([VALUE] * FEW + [value])[-1]
    if message is not None:
        assert message == CODEC.decode(value)


@pytest.mark.parametrize("value", [None, b"", b"\x00", b"{}", VALUE[:-1]])
def test_what_is_no_message_is_left_to_the_row_path(value: bytes | None) -> None:
    assert CODEC.decode_many([VALUE] * FEW + [value])[-1] is None


def test_a_number_that_does_not_fit_is_refused_as_by_the_row_path() -> None:
    big = [OrderLine(sku="a", quantity=2**70, unit_price_minor=1)]
    from dataclasses import replace

    with pytest.raises(OverflowError):
        CODEC.encode_many([replace(place, lines=tuple(big))] * FEW)


@dataclass(frozen=True)
class Oddly:
    """Its fields are called as what makes it calls its own."""

    message: str
    t: str
    new: str
    assign: str


def test_a_field_may_be_called_as_anything() -> None:
    make = constructor(Oddly, ("message", "t", "new", "assign"))
    assert make("m", "t", "n", "a") == Oddly("m", "t", "n", "a")
