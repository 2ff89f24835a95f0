"""What is drafted: names that would be in the way are refused, and files are written all or none."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from infra.cli.console import FAILED, guarded
from infra.cli.new import context as new_context
from infra.errors import Unusable
from infra.ops.draft.context import context
from infra.ops.draft.files import Draft
from infra.ops.draft.message import message
from infra.ops.draft.names import singular
from infra.settings import Settings
from infra.shop.mesh import mesh
from infra.wire.schemas import OWN_IDS
from tests.counter.mesh import mesh as counter

PARCELS = {"name": "parcels", "aggregate": "parcel", "heard": None}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "my-parcels"}, "no name"),
        ({"name": "Parcels"}, "no name"),
        ({"name": "2nd_parcels"}, "no name"),
        ({"name": "p" * 41}, "40 characters"),
        ({"name": "class"}, "word of Python"),
        ({"name": "match"}, "word of Python"),
        ({"name": "weft"}, "reserved"),
        ({"name": "receipts"}, "reserved"),
        ({"name": "user"}, "reserved"),  # of Postgres
        ({"name": "orders"}, "already"),
        ({"name": "sagas"}, "already"),  # a read model
        ({"name": "customers"}, "already"),  # a view
        ({"aggregate": "event"}, "--aggregate"),
        ({"aggregate": "Parcel"}, "no name"),
        ({"heard": "orders.OrderPayed"}, "did you mean orders.Order"),
        ({"heard": "orders.PlaceOrder"}, "no context says"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], why: str) -> None:
    wanted = PARCELS | change
    with pytest.raises(Unusable, match=why):
        context(Settings(), mesh, wanted["name"], wanted["aggregate"], wanted["heard"])


def test_a_refusal_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: new_context("orders")) == FAILED
    assert capsys.readouterr().err == "there is 'orders' already: choose another name\n"


def test_a_mesh_without_read_models_and_tests_of_its_own_is_no_place_for_it() -> None:
    with pytest.raises(Unusable, match="projections and no tests"):
        context(Settings(), counter, "parcels", "parcel", None)


RETURNED = "orders.OrderReturned"


def test_an_event_is_a_dataclass_a_schema_with_an_id_and_one_of_its_union() -> None:
    draft, of = message(mesh, "event", RETURNED, ["reason:str", "parcels:int"], None)
    texts = {file.name: text for file, text in {**draft.new, **draft.changed}.items()}
    assert texts.keys() == {"order_returned.avsc", "__init__.py", "lock.json", "CHANGELOG.md"}
    assert [(f["name"], f["type"]) for f in json.loads(texts["order_returned.avsc"])["fields"]] == [
        ("order_id", "string"),
        ("reason", "string"),
        ("parcels", "long"),
    ]
    scope: dict[str, Any] = {}
    exec(texts["__init__.py"], scope)
    event = scope["OrderReturned"](order_id="o", reason="r", parcels=1)
    assert isinstance(event, scope["OrderEvent"])
    assert len(get_args(scope["OrderEvent"])) == len(of.events) + 1
    assert json.loads(texts["lock.json"])[str(max(mesh_ids()) + 1)]["name"] == RETURNED
    assert "OrderDelivered, OrderReturned.\n" in texts["CHANGELOG.md"]


def mesh_ids() -> list[int]:
    return [i for i in mesh.vocabulary.schemas.locked() if i < OWN_IDS]


def test_a_command_is_one_of_the_aggregate_it_is_said_to_be_of() -> None:
    draft, of = message(mesh, "command", "products.CountStock", [], "stock")
    source = next(t for f, t in draft.changed.items() if f.name == "products.py")
    assert "ShipStock | CountStock\n" in source and "Asked = ProductCommand | AdjustStock | CountStock\n" in source
    assert of.decide.__module__.endswith("stock")


@pytest.mark.parametrize(
    ("name", "described", "of", "why"),
    [
        ("orders.orderReturned", [], None, "no name of a message"),
        ("orders", [], None, "no name of a message"),
        ("order.OrderReturned", [], None, "no context 'order'"),
        ("products.ProductCounted", [], None, "which of product, stock"),
        ("products.ProductCounted", [], "shelf", "which of product, stock"),
        ("orders.OrderPlaced", [], None, "already"),
        ("orders.OrderLine", [], None, "already"),  # what a line of an order is
        (RETURNED, ["reason"], None, "no field"),
        (RETURNED, ["reason:text"], None, "str, int, bool, float"),
        (RETURNED, ["class:str"], None, "word of Python"),
        (RETURNED, ["order_id:str"], None, "is there twice"),
    ],
)
def test_a_message_that_cannot_be_is_refused(name: str, described: list[str], of: str | None, why: str) -> None:
    with pytest.raises(Unusable, match=why):
        message(mesh, "event", name, described, of)


@pytest.mark.parametrize(
    ("many", "single"),
    [
        ("orders", "order"),
        ("deliveries", "delivery"),
        ("boxes", "box"),
        ("addresses", "address"),
        ("invoices", "invoice"),
        ("gift_cards", "gift_card"),
        ("shipping", "shipping"),
        ("status", "status"),
    ],
)
def test_one_of_them(many: str, single: str) -> None:
    assert singular(many) == single


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    lock = tmp_path / "lock.json"
    lock.write_text("{}")
    package = tmp_path / "parcels"
    return Draft({package / "__init__.py": "", package / "decider.py": "x  =  1\n"}, {lock: '{"1": {}}'})


def everything(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() if p.is_file() else "" for p in folder.rglob("*")}


def test_files_are_written_and_formatted(draft: Draft, tmp_path: Path) -> None:
    draft.write()
    assert everything(tmp_path) == {
        "lock.json": '{"1": {}}',
        "parcels": "",
        "parcels/__init__.py": "",
        "parcels/decider.py": "x = 1\n",
    }


def test_nothing_is_written_where_something_is(draft: Draft, tmp_path: Path) -> None:
    (tmp_path / "parcels").mkdir()
    before = everything(tmp_path)
    with pytest.raises(Unusable, match="parcels is there already"):
        draft.write()
    assert everything(tmp_path) == before


def test_nothing_is_written_where_one_must_not(draft: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path / "lock.json")
    before = everything(tmp_path)
    with pytest.raises(Unusable, match=r"lock\.json cannot be written to"):
        draft.write()
    assert everything(tmp_path) == before


def test_what_was_written_is_taken_back_when_the_rest_cannot_be(
    draft: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, write = everything(tmp_path), Path.write_text

    def full(path: Path, text: str) -> int:
        if path.name == "lock.json" and text != before["lock.json"]:
            raise OSError(28, "No space left on device")
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(Unusable, match="No space left"):
        draft.write()
    assert everything(tmp_path) == before
