"""A new context is one command, and changes nothing that is there: made, linted and tested in a copy of the whole tree.

By itself: `pytest tests/test_new_context.py`. The copy runs every test that a context could disturb. Left out are the live
ones, this file, the shop's mutants, the folds that forget an event (it has one), and what the runtime does with circuits,
processes, stores and the simulation on a counter, which are slow and name no context.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEW = ("context", "shipping", "--aggregate", "parcel", "--hears", "orders.OrderPaid")
SLOW = [f"infra/test_{part}.py" for part in ("circuits", "jars", "processes", "simulation", "store")]
HAS_NO_CONTAINER_YET = "test_compose.py"
LEFT_OUT = ["live", "test_new_context.py", "test_exhaustive.py", HAS_NO_CONTAINER_YET, *SLOW]
LINT = ("ruff format --check .", "ruff check .", "mypy", "lint-imports")
STORY = """
from dataclasses import replace

from commands.orders import PlaceOrder
from commands.products import AdjustStock, ListProduct
from infra.shop.mesh import mesh
from infra.testing.laws import broken
from schemas.orders import OrderLine
from schemas.shipping import ParcelRegistered
from tests.shop.story import a_shop, simulation


async def an_order_is_paid(world):
    world.post(ListProduct(sku="tea", name="Tea", unit_price_minor=690, currency="EUR"), "list")
    world.post(AdjustStock(sku="tea", delta=9, reason="delivery"), "deliver")
    await world.rest()
    line = OrderLine(sku="tea", quantity=2, unit_price_minor=690)
    order = PlaceOrder(order_id="o", customer_id="c", card="card_ok", currency="EUR", lines=(line,))
    world.post(order, "place")


def played(mesh):
    world = a_shop(1, mesh=mesh, gentle=True)
    world.play(an_order_is_paid)
    return world


assert played(mesh).evidence().of(ParcelRegistered) == [ParcelRegistered(parcel_id="o", note="")]
deaf = mesh.having(replace(mesh.context("shipping"), hears=()))
said = ["OrderPaid(order_id='o') led to no parcel"]
assert broken(played(deaf), simulation.laws)["what_contexts_brought_holds"] == said
"""


def run(copy: Path, *command: str) -> None:
    """Run a program of this environment in the copy; it has to end well."""
    done = attempt(copy, *command)
    assert done.returncode == 0, done.stdout + done.stderr


def attempt(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name(command[0])
    env = os.environ | {"PYTHONPATH": str(copy), "MYPYPATH": str(copy)}
    return subprocess.run([program, *command[1:]], cwd=copy, env=env, capture_output=True, text=True)


def contents(folder: Path) -> dict[str, bytes]:
    files = [file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree with the context; of what is hidden only what mypy knows, for it is slow to begin."""
    folder = tmp_path_factory.mktemp("tree") / "copy"
    hidden = {path.name for path in ROOT.glob(".*")} - {".mypy_cache"}
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*hidden, "__pycache__"))
    run(folder, "weft", "new", *NEW)
    return folder


def test_nothing_that_was_there_is_changed_but_the_lock_and_the_change_log(copy: Path) -> None:
    now = contents(copy)
    changed = {name for name, text in contents(ROOT).items() if name in now and now[name] != text}
    assert changed == {"CHANGELOG.md", "schemas/lock.json"}


@pytest.mark.parametrize("command", LINT)
def test_it_is_as_clean_as_the_rest(copy: Path, command: str) -> None:
    run(copy, *command.split())


def test_its_tests_and_everybody_elses_pass(copy: Path) -> None:
    left_out = [f"--ignore=tests/{part}" for part in LEFT_OUT]
    run(copy, "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", "-k", "not caught", *left_out, "tests")


def test_what_it_hears_leads_to_its_event_in_the_mesh(copy: Path) -> None:
    run(copy, "python", "-c", STORY)


def test_a_new_event_is_wanted_by_the_type_checker_where_it_is_folded(copy: Path) -> None:
    run(copy, "weft", "new", "event", "shipping.ParcelLost", "where:str")
    run(copy, "ruff", "check", ".")
    run(copy, "ruff", "format", "--check", ".")
    places = re.findall(r"^(\S+\.py):\d+: error: Missing return statement", attempt(copy, "mypy").stdout, re.MULTILINE)
    assert sorted(places) == ["projections/shipping.py", "streams/shipping/decider.py"]
