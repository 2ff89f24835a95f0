"""What the counter lacks, on the shop: personal fields, aggregates of two kinds, and fields with fields of their own."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from commands.products import AdjustStock, ListProduct
from infra.errors import Unreadable
from infra.settings import DAY_MS
from infra.shop.mesh import mesh
from infra.wire.envelope import Way
from infra.wire.inbox import CommandReader
from infra.wire.record import Read
from infra.write.aggregates import Aggregates
from infra.write.decision import CommandHandler, Decision, ways
from infra.write.reactions import outgoing_command
from tests.orders.examples import place


def fresh(context: str) -> Aggregates:
    return Aggregates(mesh.context(context), mesh.codec, 0, 1, DAY_MS)


def decide(aggregates: Aggregates, records: list[Read]) -> Decision:
    handler = CommandHandler(aggregates)
    return handler.decide(handler.read(records))


def test_what_names_a_person_in_plain_is_kept_by_nobody() -> None:
    plain = b'{"email": "ada@example.org", "email_key": "k", "name": "Ada"}'
    headers = [("ce_type", b"users.RegisterUser")]
    record = Read("users.commands", 0, 0, 1000, b"ada", plain, headers)
    decision = decide(fresh("users"), [record])
    assert b"ada@example.org" not in b"".join(r.value or b"" for r in (*decision.dead, *decision.records))
    assert mesh.codec.decode(decision.records[0].value or b"").code == "not_sealed"


@pytest.mark.parametrize(
    "torn", [b'{"email": "ada@example.org"', b'{"email": "ada@example.org"}'], ids=["torn", "short"]
)
def test_json_that_cannot_be_read_is_kept_by_nobody_in_a_context_about_persons(torn: bytes) -> None:
    record = Read("users.commands", 0, 0, 1000, b"ada", torn, [("ce_type", b"users.RegisterUser")])
    decision = decide(fresh("users"), [record])
    assert b"ada@example.org" not in b"".join(r.value or b"" for r in (*decision.dead, *decision.records))


def test_json_that_cannot_be_read_is_kept_as_it_came_where_nobody_is_named() -> None:
    torn = b'{"sku": "tea"'
    record = Read("products.commands", 0, 0, 1000, b"tea", torn, [("ce_type", b"products.ListProduct")])
    assert [letter.value for letter in decide(fresh("products"), [record]).dead] == [torn]


def test_aggregates_of_two_kinds_may_have_the_same_id() -> None:
    listing = ListProduct(sku="tea", name="Tea", unit_price_minor=690, currency="EUR")
    delivery = AdjustStock(sku="tea", delta=5, reason="")
    sent = [outgoing_command(mesh.codec, command, id_) for command, id_ in ((listing, "a"), (delivery, "b"))]
    records = [Read("products.commands", 0, i, 1000, r.key, r.value, r.headers) for i, r in enumerate(sent)]
    aggregates = fresh("products")
    aggregates.merge(decide(aggregates, records))
    assert len(aggregates.states) == 2


def read(body: dict[str, Any]) -> Any:
    record = Read(
        "orders.commands", 0, 0, 1000, b"order-1", json.dumps(body).encode(), [("ce_type", b"orders.PlaceOrder")]
    )
    (posted,) = CommandReader("orders", ways(mesh.context("orders")), 1, mesh.codec).read([record], Way.COMMANDS)
    if isinstance(posted.command, Unreadable):
        raise posted.command
    return posted.command.payload


def test_fields_of_a_field_are_read_in_json() -> None:
    assert read(asdict(place)) == place


@pytest.mark.parametrize("wrong", [{"quantity": "2"}, {"quantity": 2**70}, {"unit_price_minor": 10**30}], ids=str)
def test_what_is_wrong_with_a_field_of_a_field_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(Unreadable) as error:
        read(asdict(place) | {"lines": [{"sku": "a", "quantity": 1, "unit_price_minor": 1} | wrong]})
    assert error.value.code == "wrong_fields"
