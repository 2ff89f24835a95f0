"""A real schema registry instead of the lock file."""

import json
from collections.abc import Iterator
from copy import deepcopy

import pytest
import requests

from infra.errors import Unusable
from infra.kafka import reading
from infra.shop.mesh import mesh
from infra.wire.registry import Registry
from tests.live import apicurio
from tests.live.shop import live_shop
from tests.live.weft import weft

NAME = "orders.CancelOrder"
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with apicurio.running() as url:
        yield url


def test_a_schema_that_cannot_read_older_ones_is_refused(registry: str) -> None:
    subjects, schemas = {NAME: "test-refused"}, {NAME: mesh.vocabulary.current[NAME]}
    assert Registry(registry).prepare(subjects, schemas) == [NAME]
    assert Registry(registry).prepare(subjects, schemas) == []
    broken = deepcopy(schemas)
    broken[NAME]["fields"].append({"name": "mandatory", "type": "string"})
    with pytest.raises(Unusable, match="409"):
        Registry(registry).prepare(subjects, broken)


def test_a_registry_that_is_away_is_a_clear_error() -> None:
    with pytest.raises(Unusable, match="SCHEMA_REGISTRY_URL"):
        Registry("http://127.0.0.1:1").locked({})


def test_the_mesh_runs_on_the_ids_of_the_registry(registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"schema": json.dumps({"type": "record", "name": "Other", "fields": []})}
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    requests.post(f"{registry}/subjects/others/versions", json=other, headers=headers, timeout=10).raise_for_status()
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", registry)
    with live_shop("embedded") as live:
        worker = live.worker()
        live.ready(worker)
        listing = json.dumps({"name": "Tea", "unit_price_minor": 690, "currency": "EUR"})
        done = weft(live, "send", "products.ListProduct", "tea", listing, "--wait")
        assert done.returncode == 0, done.stdout + done.stderr
        client = reading.consumer(str(live.settings.kafka))
        try:
            ends = reading.ends(client, reading.partitions_of(client, ["products.events"]))
            values = [r.value or b"" for batch in reading.read_all(client, {}, ends) for r in batch]
        finally:
            client.close()
    schemas = Registry(registry).locked(mesh.subjects())
    names = [schemas[int.from_bytes(value[1:5])].name for value in values]
    assert "products.ProductListed" in names
    ours = {entry.name: number for number, entry in mesh.vocabulary.schemas.locked().items()}
    assert any(int.from_bytes(value[1:5]) != ours[name] for value, name in zip(values, names, strict=True))
