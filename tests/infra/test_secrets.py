"""A secret that is made once is never half made, never made twice, and never replaced without a word."""

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import SecretStr

from infra.embedded import secrets
from infra.embedded.instance import Instance
from infra.errors import Unusable
from infra.model.needs import Outside, Secret, Variables, random_key
from infra.settings import Settings


class Needs(Variables):
    seal_key: Annotated[SecretStr, Secret(random_key)]


OUTSIDE = Outside.of(Needs)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("WEFT_SEAL_KEY", raising=False)
    return tmp_path / "home"


def started(home: Path, **known: str) -> str:
    """An instance starts and ends; the key its workers get."""
    settings = Settings(home=home, kafka="broker:9092", postgres="postgresql://db").having(**known)
    with Instance(settings, OUTSIDE, lambda text: None, lambda done, total: None) as instance:
        return str(instance.start_services().given("seal_key"))


def test_a_key_is_made_once(home: Path) -> None:
    assert started(home) == started(home)


def test_a_key_that_is_gone_is_not_replaced(home: Path) -> None:
    kept = started(home)
    (home / "seal.key").unlink()
    with pytest.raises(Unusable, match=r"seal\.key is missing.*WEFT_SEAL_KEY.*`weft key seal`"):
        started(home)
    assert not (home / "seal.key").exists()
    (home / "seal.key").write_text(kept)
    assert started(home) == kept


def test_a_key_that_was_given_and_is_not_any_more_is_not_replaced(home: Path) -> None:
    started(home, seal_key="theirs")
    with pytest.raises(Unusable, match="WEFT_SEAL_KEY"):
        started(home)
    assert started(home, seal_key="theirs") == "theirs"


def test_a_key_that_is_gone_from_a_home_of_before_is_not_replaced(home: Path) -> None:
    started(home)
    (home / "postgres" / "data").mkdir(parents=True)
    for name in ("seal.key", "secrets.json"):
        (home / name).unlink()
    with pytest.raises(Unusable, match=r"seal\.key is missing"):
        started(home)


def test_a_home_of_before_that_has_its_key_goes_on(home: Path) -> None:
    kept = started(home)
    (home / "postgres" / "data").mkdir(parents=True)
    (home / "secrets.json").unlink()
    assert started(home) == kept
    assert json.loads((home / "secrets.json").read_text()) == ["seal_key"]


def test_a_home_whose_first_start_was_interrupted_makes_its_key(home: Path) -> None:
    home.mkdir()
    (home / "made.json").write_text('["seal.key"]')
    assert started(home)


def test_a_key_that_another_start_adds_by_hand_is_taken(home: Path) -> None:
    old = started(home)
    (home / "seal.key").write_text(f"new,{old}\n")
    assert started(home) == f"new,{old}"


@pytest.mark.parametrize("content", ["", "\n", " "])
def test_an_empty_key_file_is_no_key(content: str, home: Path) -> None:
    home.mkdir()
    (home / "seal.key").write_text(content)
    with pytest.raises(Unusable, match=r"seal\.key is empty"):
        started(home)
    assert (home / "seal.key").read_text() == content


def test_a_torn_note_of_what_was_made_is_said(home: Path) -> None:
    started(home)
    (home / "secrets.json").write_text("[")
    with pytest.raises(Unusable, match=r"secrets\.json"):
        started(home)


def _keep(home: Path, begin: Callable[[], object], found: Callable[[str], object]) -> None:
    begin()
    found(secrets.kept(home, "seal_key", random_key))


def test_many_who_make_a_key_at_once_have_one(home: Path) -> None:
    home.mkdir()
    fork = multiprocessing.get_context("fork")
    begin, found = fork.Barrier(8), fork.Queue()
    makers = [fork.Process(target=_keep, args=(home, begin.wait, found.put)) for _ in range(8)]
    for maker in makers:
        maker.start()
    keys = {found.get(timeout=20) for _ in makers}
    for maker in makers:
        maker.join(20)
    assert keys == {(home / "seal.key").read_text().strip()}
