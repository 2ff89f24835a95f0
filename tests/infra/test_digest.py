"""When two commands say the same, and when they do not."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import pytest

from infra.wire.digest import digest_of
from infra.wire.record import Read
from tests.counter.mesh import mesh
from tests.infra.counter_log import NOW, add, decide, decide_all, events, fresh

TYPE = ("ce_type", b"counter.Add")
ADD = add(1, 2)
FRAMED = mesh.codec.encode(ADD)


def in_json(**how: object) -> bytes:
    return json.dumps(asdict(ADD), **how).encode()  # type: ignore[arg-type]


ENCODINGS = {
    "JSON": (in_json(), TYPE),
    "JSON without white space": (in_json(separators=(",", ":")), TYPE),
    "JSON in another order": (b'{"amount": 2, "counter_id": "c1"}', TYPE),
    "JSON without the id": (b'{"amount": 2}', TYPE),
    "JSON in escapes": (b'{"counter_id": "\\u0063\\u0031", "amount": 2}', TYPE),
    "framed Avro": (FRAMED, TYPE),
    "Avro": (FRAMED[5:], TYPE),
}


def asked(value: bytes, *headers: tuple[str, bytes], offset: int = 0) -> Read:
    return Read("counter.commands", 0, offset, NOW, b"c1", value, [("ce_id", b"mine"), *headers])


@pytest.mark.parametrize("again", ENCODINGS)
@pytest.mark.parametrize("first", ENCODINGS)
def test_the_same_in_another_encoding_is_the_same_command(first: str, again: str) -> None:
    aggregates = fresh()
    decide_all(aggregates, [asked(*ENCODINGS[first])])
    assert decide(aggregates, [asked(*ENCODINGS[again], offset=1)]).records == []


@pytest.mark.parametrize("again", ENCODINGS)
def test_another_amount_is_another_command_in_every_encoding(again: str) -> None:
    aggregates = fresh()
    decide_all(aggregates, [asked(mesh.codec.encode(add(1, 1)), TYPE)])
    assert [e.code for e in events(decide(aggregates, [asked(*ENCODINGS[again], offset=1)]))] == ["id_reused"]


# -- as a command gets more fields


@dataclass(frozen=True, kw_only=True)
class Part:
    sku: str


@dataclass(frozen=True, kw_only=True)
class Order:
    order_id: str
    parts: tuple[Part, ...]


def later() -> tuple[type, type]:
    @dataclass(frozen=True, kw_only=True)
    class Part:
        colour: str = ""
        sku: str

    @dataclass(frozen=True, kw_only=True)
    class Order:
        note: str = "none"
        order_id: str
        parts: tuple[Part, ...]

    Order.__annotations__["parts"] = tuple[Part, ...]
    return Order, Part


def test_an_optional_field_that_came_later_says_nothing_at_its_default() -> None:
    order, part = later()
    new = order(order_id="1", parts=(part(sku="tea"),))
    assert digest_of(b"x.Order", Order(order_id="1", parts=(Part(sku="tea"),))) == digest_of(b"x.Order", new)


@pytest.mark.parametrize(
    "change",
    [
        lambda order, part: order(order_id="1", note="late", parts=(part(sku="tea"),)),
        lambda order, part: order(order_id="1", parts=(part(sku="tea", colour="red"),)),
        lambda order, part: order(order_id="1", parts=(part(sku="tea"), part(sku="tea"))),
    ],
    ids=["a field", "a field of a field", "how many"],
)
def test_what_is_said_is_told_apart(change: Callable[[type, type], object]) -> None:
    order, part = later()
    assert digest_of(b"x.Order", change(order, part)) != digest_of(
        b"x.Order", order(order_id="1", parts=(part(sku="tea"),))
    )


@dataclass(frozen=True, kw_only=True)
class Wish:
    colour: str = ""
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class Wishes:
    of: tuple[Wish, ...] = ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((Wish(colour="red", size=1),), (Wish(colour="red"), Wish(size=1))),
        ((Wish(),), ()),
        ((Wish(),), (Wish(), Wish())),
    ],
    ids=["one or two", "one or none", "one or two that say nothing"],
)
def test_parts_that_may_say_nothing_are_told_apart(one: tuple[Wish, ...], other: tuple[Wish, ...]) -> None:
    assert digest_of(b"x.Wishes", Wishes(of=one)) != digest_of(b"x.Wishes", Wishes(of=other))


def test_the_same_fields_of_another_type_are_another_command() -> None:
    assert digest_of(b"x.Order", Part(sku="tea")) != digest_of(b"x.Part", Part(sku="tea"))


def test_a_digest_stays_what_it_is_for_it_stands_in_logs() -> None:
    assert digest_of(b"x.Order", Order(order_id="é\x1f1", parts=(Part(sku="t'"),))).hex() == "ab0b6eca9f0fe5f2"
