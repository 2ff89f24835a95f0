"""With a schema registry, its ids take the place of the locks' wherever an id is said or read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.cli.console import DONE
from infra.cli.looking import catalog, check
from infra.mesh import Growth
from infra.ops import recording
from infra.ops.setup import registered
from infra.settings import Settings
from infra.shop.mesh import mesh
from infra.wire.registry import Registry
from tests.infra import registry
from tests.infra.recorded_log import LOG
from tests.orders.examples import placed

NAME = "orders.OrderPlaced"
SUBJECTS = mesh.subjects()
CURRENT = mesh.vocabulary.current


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One that knows every schema of the shop, and is the one to ask."""
    with registry.running() as url:
        Registry(url).prepare(SUBJECTS, CURRENT)
        monkeypatch.setenv("SCHEMA_REGISTRY_URL", url)
        yield url


def test_the_catalogue_says_the_ids_of_the_registry(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    (number,) = (n for n, entry in Registry(url).locked(SUBJECTS).items() if entry.name == NAME)
    assert catalog(NAME) == DONE
    assert f"event {NAME}  (orders, schema id {number})" in capsys.readouterr().out


def test_a_schema_is_found_also_when_its_topic_was_grown(url: str) -> None:
    grown = mesh.grown({"orders": Growth(2, 12)})
    codec = registered(Settings(), grown).codec
    assert codec.decode(codec.encode(placed)) == placed


def test_a_log_is_checked_by_the_ids_it_was_written_with(url: str, tmp_path: Path) -> None:
    there = mesh.with_ids(Registry(url).locked(SUBJECTS))
    written = (r._replace(value=there.codec.encode(mesh.codec.decode(r.value or b""))) for r in LOG)
    assert recording.write(tmp_path / "log.gz", written) == len(LOG)
    assert check(log=tmp_path / "log.gz") == DONE


def test_a_schema_that_cannot_read_what_the_registry_knows_is_told(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    field = {"name": "colour", "type": "string"}
    other = CURRENT[NAME] | {"fields": [f for f in CURRENT[NAME]["fields"] if f["name"] != "customer_id"] + [field]}
    Registry(url).prepare(SUBJECTS, {NAME: other})
    assert check() != DONE
    assert NAME in capsys.readouterr().err


def test_a_tag_alone_is_registered_as_no_version_of_its_own(url: str) -> None:
    first, *others = CURRENT[NAME]["fields"]
    tagged = CURRENT[NAME] | {"fields": [first, *({**field, "withheld": True} for field in others)]}
    assert tagged != CURRENT[NAME]
    assert Registry(url).prepare(SUBJECTS, {NAME: tagged}) == []
