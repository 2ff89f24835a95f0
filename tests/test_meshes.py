"""The mesh is a value: two live in one process, and one that is changed leaves the other as it was."""

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from infra.errors import Unusable
from infra.mesh import Growth, Mesh, load
from infra.shop.mesh import mesh as shop
from tests.counter.commands.counter import Add
from tests.counter.mesh import mesh as counter
from tests.counter.story import simulation
from tests.shop.story import simulation as shop_simulation


def test_two_meshes_run_in_one_process() -> None:
    # given two meshes whose schemas have some ids in common
    own = {i: e.name for i, e in counter.vocabulary.schemas.locked().items() if not e.name.startswith("weft.")}
    common = own.keys() & shop.vocabulary.schemas.locked().keys()
    assert common
    # then both work, in turns
    for seed in range(2):
        assert simulation.play(seed)[1] == {}
        assert shop_simulation.play(seed)[1] == {}


def test_each_knows_its_own_messages() -> None:
    assert "counter.Add" in counter.codec.types and "counter.Add" not in shop.codec.types
    with pytest.raises(KeyError):
        shop.owner(Add)


@pytest.mark.parametrize("mesh", [shop, counter], ids=["shop", "counter"])
def test_another_process_gets_the_same_mesh_as_it_is_deployed(mesh: Mesh) -> None:
    name = next(iter(mesh.contexts))
    deployed = mesh.grown({name: Growth(3, 12)})
    there = pickle.loads(pickle.dumps(deployed))
    assert there.contexts == deployed.contexts
    assert there.context(name).events_topic == f"{name}.events.3"
    assert there.projections.keys() == mesh.projections.keys()


def test_another_process_gets_the_contexts_that_are_others_than_the_codes() -> None:
    for name, context in shop.contexts.items():
        deaf = shop.having(replace(context, hears=())).grown({name: Growth(3, 12)})
        there = pickle.loads(pickle.dumps(deaf)).context(name)
        assert (there.hears, there.generation, there.partitions) == ((), 3, 12)


def test_a_mesh_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        shop.growth = {}  # type: ignore[misc]
    grown = shop.grown({"orders": Growth(2, 7)})
    assert grown.context("orders").partitions == 7
    assert shop.context("orders").partitions is None
    assert grown.codec is shop.codec


@pytest.mark.parametrize("source", ["infra.shop.nothing:mesh", "infra.shop.mesh:nothing", "infra.errors:Unusable"])
def test_a_mesh_that_is_not_there_is_a_clear_error(source: str) -> None:
    with pytest.raises(Unusable, match=r"mesh|Mesh"):
        load(source)
