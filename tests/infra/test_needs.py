"""What a context needs outside is said in its own package, and everything else follows from that."""

import json
import shutil
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, SecretStr

from infra.embedded.instance import Instance, environment, wipe
from infra.embedded.runfile import resolved
from infra.errors import Unusable
from infra.model.needs import Address, Outside, Secret, StandIn, Variables, VaultNeeds, check_fit, needed
from infra.settings import Settings

LISTENER = """
import pathlib, socket, sys, time
pathlib.Path(sys.argv[1]).mkdir(exist_ok=True)
open_ = [socket.create_server((sys.argv[2], int(place.partition("=")[2]))) for place in sys.argv[3:]]
time.sleep(60)
"""
SCALES = StandIn("scales", "weft_scales")
NOTHING = Outside()


class Needs(VaultNeeds):
    carrier: Annotated[str, Address(SCALES, "http://{}/v1")]
    scale: Annotated[str, Address(SCALES)]
    customs: Annotated[str, Address()]
    depot: Annotated[str | None, Address(SCALES, unless="depot_key")] = None
    depot_key: Annotated[SecretStr | None, Secret()] = None
    seal_key: Annotated[SecretStr, Secret(lambda: "made")]
    patience: float = Field(default=5.0, gt=0)


OUTSIDE = Outside.of(Needs)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for an instance, whose stand-ins are found."""
    (tmp_path / "weft_scales.py").write_text(LISTENER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in ("carrier", "scale", "customs", "depot", "depot_key", "seal_key", "vault", "vault_key"):
        monkeypatch.delenv(f"WEFT_{name.upper()}", raising=False)
    return tmp_path / "home"


def given(home: Path, **known: str) -> Settings:
    return Settings(home=home, kafka="broker:9092", postgres="postgresql://db").having(**known)


def started(settings: Settings, outside: Outside = OUTSIDE) -> Instance:
    return Instance(settings, outside, lambda text: None, lambda done, total: None)


def unloadable() -> Outside:
    raise Unusable("streams/loyalty/decider.py, line 3: invalid syntax")


def test_an_address_that_is_missing_is_served_though_its_siblings_are_given(home: Path) -> None:
    with started(given(home, carrier="http://carrier", depot="depot:1")) as instance:
        settings = instance.start_services()
    assert (settings.given("carrier"), settings.given("depot")) == ("http://carrier", "depot:1")
    assert settings.given("scale").startswith("127.0.0.1:")


def test_an_instance_gives_its_workers_all_that_is_declared(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with started(given(home, customs="http://customs")) as instance:
        variables = environment(instance.start_services())
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    needs = needed(Settings(), Needs)
    assert needs.carrier.startswith("http://127.0.0.1:")
    assert needs.carrier.endswith("/v1")
    assert (needs.seal_key.get_secret_value(), needs.vault, needs.patience) == ("made", "postgresql://db", 5.0)


def test_what_another_variable_makes_needless_is_not_served(home: Path) -> None:
    with started(given(home, depot_key="live")) as instance:
        settings = instance.start_services()
        assert settings.given("depot") is None
        assert resolved(given(home, depot_key="live"), OUTSIDE).given("depot") is None


def test_commands_know_what_the_running_instance_serves_where_nothing_is_given(home: Path) -> None:
    with started(given(home)) as instance:
        settings = instance.start_services()
        mine = resolved(given(home, scale="mine:1"), OUTSIDE)
    assert (mine.given("scale"), mine.given("carrier")) == ("mine:1", settings.given("carrier"))
    assert mine.given("seal_key") == "made"


def test_addresses_survive_a_restart_also_when_one_was_given_meanwhile(home: Path) -> None:
    addresses = []
    for known in ({}, {"scale": "mine:1"}, {}):
        with started(given(home, **known)) as instance:
            addresses.append(instance.start_services().given("scale"))
    assert addresses[0] == addresses[2]


def test_a_port_is_kept_also_by_an_instance_that_serves_nothing(home: Path) -> None:
    home.mkdir()
    (home / "ports.json").write_text(json.dumps({"scale": 4711}))
    with started(given(home), NOTHING) as instance:
        instance.start_services()
    assert json.loads((home / "ports.json").read_text())["scale"] == 4711


def test_wipe_removes_what_was_made_for_the_contexts(home: Path) -> None:
    with started(given(home)) as instance:
        instance.start_services()
        assert (home / "seal.key").read_text() == "made\n"
        assert (home / "seal.key").stat().st_mode & 0o077 == 0
    wipe(home, unloadable)
    assert not home.exists()


def test_what_an_instance_made_before_it_noted_that_is_wiped_by_what_contexts_need(home: Path) -> None:
    with started(given(home)) as instance:
        instance.start_services()
    (home / "made.json").unlink()
    wipe(home, lambda: OUTSIDE)
    assert not home.exists()


@pytest.mark.parametrize(
    "made",
    ['["../mine"]', '["sub/mine"]', '[".."]', '["."]', '[""]', '["a\\u0000"]', '{"mine": 1}', "[7]", '"mine"', "["],
)
def test_wipe_believes_no_note_but_one_of_plain_names(made: str, home: Path) -> None:
    # given a home whose note names something else than what an instance makes there, and what a person keeps around
    mine = [home.parent / "mine", home / "sub" / "mine", home / "mine"]
    for path in mine:
        path.mkdir(parents=True)
    (home / "scales").mkdir()
    (home / "made.json").write_text(made)
    # when it is wiped
    wipe(home, lambda: OUTSIDE)
    # then what the contexts need is gone, and nothing else is
    assert not (home / "scales").exists()
    assert all(path.exists() for path in mine)


def test_a_wipe_that_was_interrupted_can_go_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given an instance's home, whose wipe was interrupted at a directory of its contexts
    with started(given(home)) as instance:
        instance.start_services()
    remove = shutil.rmtree

    def interrupted(path: Path) -> None:
        if path.name == "scales":
            raise KeyboardInterrupt
        remove(path)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            wipe(home, unloadable)
    # when it is wiped again, though its contexts cannot be asked
    wipe(home, unloadable)
    # then nothing is left
    assert not home.exists()


def test_an_instance_that_serves_no_context_notes_nothing_of_them(home: Path) -> None:
    with started(given(home), NOTHING) as instance:
        instance.start_services()
    assert not (home / "made.json").exists()


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ({"scale": "", "customs": "c"}, ["no address for scale: start the mesh with `weft up`, or set WEFT_SCALE"]),
        ({}, ["no address for customs: set WEFT_CUSTOMS"]),
        ({"seal_key": ""}, ["WEFT_CUSTOMS", "`weft key seal` makes one"]),
        ({"customs": "c", "patience": "long"}, ["WEFT_PATIENCE: Input should be a valid number"]),
    ],
)
def test_what_nobody_gives_is_named_before_anything_starts(
    tmp_path: Path, known: dict[str, str], says: list[str]
) -> None:
    all_but_customs = {"carrier": "a", "scale": "b", "seal_key": "k", "vault_key": "k"}
    with pytest.raises(Unusable) as refused:
        needed(given(tmp_path, **(all_but_customs | known)), Needs)
    assert all(words in str(refused.value) for words in says)


def test_what_is_missing_may_be_served_yet(tmp_path: Path) -> None:
    check_fit(given(tmp_path), Needs)


def test_what_is_given_and_does_not_fit_is_named_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(Unusable) as refused:
        check_fit(given(tmp_path, patience="long"), Needs)
    assert str(refused.value).startswith("WEFT_PATIENCE: Input should be a valid number")


def test_a_secret_that_does_not_fit_is_not_shown(tmp_path: Path) -> None:
    class Short(Variables):
        pin: Annotated[SecretStr, Secret(), Field(max_length=4)]

    with pytest.raises(Unusable, match="WEFT_PIN") as refused:
        needed(given(tmp_path, pin="canary"), Short)
    assert "canary" not in str(refused.value) + repr(refused.value.__cause__) + repr(given(tmp_path, pin="canary"))


def test_nothing_is_given_though_the_environment_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA", "CARRIER", "DEPOT_KEY", "VAULT_KEY"):
        monkeypatch.setenv(f"WEFT_{name}", "theirs")
    mine = OUTSIDE.nothing_given(Settings()).having(home=tmp_path)
    assert set(OUTSIDE.missing(mine)) == {"kafka", "postgres", *OUTSIDE.addresses, *OUTSIDE.secrets}
    for name, value in environment(mine).items():  # as a child has it: over what it inherits
        monkeypatch.setenv(name, value)
    assert (Settings().kafka, Settings().given("depot_key")) == (None, None)


def test_two_contexts_may_need_the_same_but_not_mean_different_things() -> None:
    class Same(Variables):
        scale: Annotated[str | None, Address(SCALES)] = None

    class Other(Variables):
        scale: Annotated[str, Address(StandIn("other", "other"))]

    assert Outside.of(Needs, Same) == OUTSIDE
    with pytest.raises(Unusable, match="WEFT_SCALE"):
        Outside.of(Needs, Other)
