"""What the counter lacks, on the shop: personal fields, aggregates of two kinds, and fields with fields of their own."""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, cast

import pytest

from commands.products import AdjustStock, ListProduct
from commands.users import ClaimEmail, EraseUser, RegisterUser
from infra.edge.client import Wish, asked, seal_with
from infra.edge.vault import Vault
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


NAMED = ("ce_type", b"users.RegisterUser")
ASKED = ("ce_id", b"reg-1")


def in_json(name: str) -> bytes:
    return json.dumps({"email": f"{name}@example.org", "email_key": "k", "name": name}).encode()


def in_avro(name: str) -> bytes:
    return mesh.codec.encode(RegisterUser(user_id="ada", email=f"{name}@example.org", email_key="k", name=name))


def posted(value: bytes, *headers: tuple[str, bytes], offset: int = 0) -> Read:
    return Read("users.commands", 0, offset, 1000, b"ada", value, headers or (NAMED, ASKED))


PLAIN: dict[str, Callable[[str], Read]] = {
    "in JSON": lambda name: posted(in_json(name)),
    "in JSON that is torn": lambda name: posted(in_json(name)[:-1]),
    "in JSON that lacks a field": lambda name: posted(b'{"email": "%s@example.org"}' % name.encode()),
    "in JSON behind white space": lambda name: posted(b" " + in_json(name)),
    "in JSON of no type": lambda name: posted(in_json(name), ASKED),
    "in JSON of another type": lambda name: posted(in_json(name), ("ce_type", b"users.Nothing"), ASKED),
    "in Avro of another aggregate": lambda name: posted(in_avro(name))._replace(key=b"eve"),
    "in JSON that says when, wrongly": lambda name: posted(in_json(name), NAMED, ASKED, ("weft-cause-time", b"soon")),
    "in framed Avro": lambda name: posted(in_avro(name)),
    "in Avro": lambda name: posted(in_avro(name)[5:]),
    "in Avro that is torn": lambda name: posted(in_avro(name)[:-1]),
    "in Avro of an unknown schema": lambda name: posted(b"\0\xff\xff\xff\xff" + in_avro(name)[5:]),
    "in bytes": lambda name: posted(b"\xff" + name.encode()),
    "in a header": lambda name: posted(in_json(name), NAMED, ASKED, ("who", name.encode())),
}


def kept(record: Read, *before: Read) -> tuple[Any, Any]:
    """What stays of a record: in the log, and as a dead letter."""
    aggregates = fresh("users")
    for earlier in before:
        aggregates.merge(decide(aggregates, [earlier]))
    decision = decide(aggregates, [record._replace(offset=len(before))])
    assert decision.records
    return decision.records, decision.dead


@pytest.mark.parametrize("how", PLAIN)
def test_of_what_names_a_person_in_plain_nothing_stays(how: str) -> None:
    assert kept(PLAIN[how]("Ada")) == kept(PLAIN[how]("Eve"))


@pytest.mark.parametrize("how", PLAIN)
def test_of_what_names_a_person_in_plain_nothing_stays_where_it_waits_behind_another(how: str) -> None:
    junk = posted(b"junk", ("ce_id", b"bad"))
    junk = junk._replace(key=PLAIN[how]("Ada").key)
    assert kept(PLAIN[how]("Ada"), junk) == kept(PLAIN[how]("Eve"), junk)


@pytest.mark.parametrize("how", PLAIN)
def test_of_what_names_a_person_in_plain_nothing_stays_where_its_id_is_known(how: str) -> None:
    erase = posted(mesh.codec.encode(EraseUser(user_id="ada")), ASKED)
    assert kept(PLAIN[how]("Ada"), erase) == kept(PLAIN[how]("Eve"), erase)


def test_what_names_a_person_in_plain_is_said_to_be_kept_by_nobody() -> None:
    (answer,), (letter,) = kept(posted(in_json("Ada")))
    assert mesh.codec.decode(answer.value).code == "not_sealed"
    assert "dlq-withheld" in dict(letter.headers)


class Keys:
    """A vault with one key for everybody."""

    digest_secret = b"s" * 32

    async def keys(self, subjects: Iterable[str]) -> dict[str, bytes]:
        return dict.fromkeys(subjects, b"k" * 32)


def sent(name: str, command_id: str, offset: int) -> Read:
    """As a client sends it: sealed, each time anew."""
    wish = Wish("users.ChangeProfile", "ada", {"name": name}, command_id)
    (sealed,) = asyncio.run(seal_with(cast(Vault, Keys()), mesh.codec, [wish]))
    asked_for = asked(mesh, sealed)
    return Read("users.commands", 0, offset, 1000, b"ada", asked_for.value, asked_for.headers)


def answers_to(*records: Read) -> list[str]:
    aggregates, said = fresh("users"), []
    for record in records:
        decision = decide(aggregates, [record])
        aggregates.merge(decision)
        said += [mesh.codec.decode(answer.value or b"").code for answer in decision.records]
    return said


def test_who_is_sent_again_under_the_same_name_is_a_duplicate_also_sealed_anew() -> None:
    assert answers_to(sent("Ada", "x", 0), sent("Ada", "x", 1)) == ["unknown_user"]


def test_another_name_under_the_same_id_is_another_command() -> None:
    assert answers_to(sent("Ada", "x", 0), sent("Countess", "x", 1)) == ["unknown_user", "id_reused"]


def test_what_was_found_sealed_is_kept_as_it_came() -> None:
    claim = mesh.codec.encode(ClaimEmail(user_id="ada", email_key="k"))
    (_,), (letter,) = kept(posted(claim, ASKED, ("ce_type", b"users.ClaimEmail")))
    assert letter.value == claim


def test_what_is_posted_in_plain_to_the_own_topic_is_kept_by_nobody_either() -> None:
    (_,), (letter,) = kept(posted(in_avro("Ada"))._replace(topic="users.own"))
    assert letter.value == b""


def test_what_a_context_about_persons_asks_itself_is_kept_also_if_its_schema_is_newer() -> None:
    (_,), (letter,) = kept(posted(b"\0\xff\xff\xff\xff", ASKED)._replace(topic="users.own"))
    assert letter.value == b"\0\xff\xff\xff\xff"


def test_what_nobody_has_read_is_kept_by_nobody_wherever_it_was_posted() -> None:
    astray = b'{"email": "ada@example.org", "name": "Ada"'
    record = Read("products.commands", 0, 0, 1000, b"tea", astray, [("ce_type", b"products.ListProduct")])
    assert [letter.value for letter in decide(fresh("products"), [record]).dead] == [b""]


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
