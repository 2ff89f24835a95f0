"""What an instance keeps is its owner's alone, whatever the umask, and whatever was there before."""

import os
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import private
from infra.embedded import postgres
from infra.embedded.instance import Instance, prepare_home
from infra.embedded.processes import Children
from infra.embedded.runfile import running
from infra.errors import Unusable
from infra.model.needs import Outside
from infra.settings import Settings

SOMEBODY = 4711


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_others(home: Path) -> dict[str, str]:
    """What in a home somebody else could read or write."""
    readable = {path: mode(path) & 0o066 for path in (home, *home.rglob("*")) if not path.is_symlink()}
    return {str(path): oct(bits) for path, bits in readable.items() if bits}


def instance(home: Path, said: list[str]) -> Instance:
    settings = Settings(home=home, kafka="broker:9092", postgres="postgresql://db")
    return Instance(settings, Outside(), said.append, lambda done, total: None)


@pytest.mark.usefixtures("umask")
def test_a_home_and_what_an_instance_writes_there_is_its_owners_alone(home: Path) -> None:
    with instance(home, []) as made:
        made.start_services()
        made.children.start("child", [sys.executable, "-c", "print('said')"])
        made.children.stop("child")
        found = {path.name for path in home.iterdir()}
        assert open_to_others(home) == {}
    assert {"logs", "lock", "ports.json", "run.json", "children.json"} <= found


@pytest.mark.usefixtures("umask")
def test_what_a_child_writes_is_its_owners_alone(home: Path) -> None:
    home.mkdir()
    home.chmod(0o700)
    children = Children(home / "children.json", home / "logs")
    code = "import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.mkdir(); (p / 'mail').write_text('x')"
    child = children.start("child", [sys.executable, "-c", code, home / "sandbox"])
    assert child.wait(20) == 0
    children.stop("child")
    assert open_to_others(home) == {}


def test_a_home_of_before_is_closed_to_others_and_that_is_said(home: Path) -> None:
    # given a home as it was made before, and something of its owner's own beside it
    for name in ("kafka/data", "logs", "state"):
        (home / name).mkdir(parents=True)
    for name in ("kafka/data/00.log", "logs/kafka.log", "ports.json", "thesis.txt"):
        (home / name).write_text("{}")
    (home / "thesis.txt").chmod(0o644)
    (home / "kafka" / "out").symlink_to("/etc/hostname")
    said: list[str] = []
    # when an instance starts there
    with instance(home, said):
        pass
    # then what is an instance's is closed, nothing else was touched, and it is said once
    assert mode(home) == 0o700
    assert mode(home / "thesis.txt") == 0o644
    assert set(open_to_others(home)) == {str(home / "thesis.txt")}
    assert [text for text in said if "could be read by others" in text]
    again: list[str] = []
    with instance(home, again):
        pass
    assert again == []


def test_what_may_be_run_stays_so_when_it_is_closed(home: Path) -> None:
    (home / "state").mkdir(parents=True)
    (home / "state" / "tool").touch()
    (home / "state" / "tool").chmod(0o755)
    with instance(home, []):
        pass
    assert mode(home / "state" / "tool") == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives things away")
def test_a_home_of_somebody_else_is_refused(home: Path) -> None:
    home.mkdir()
    os.chown(home, SOMEBODY, SOMEBODY)
    before = mode(home)
    for use in (prepare_home, running):
        with pytest.raises(Unusable, match=rf"^the data directory .* belongs to {SOMEBODY}.*WEFT_HOME"):
            use(home)
    assert mode(home) == before
    assert not list(home.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives things away")
def test_a_home_that_somebody_elses_link_leads_to_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    home.symlink_to(tmp_path / "mine")
    os.lchown(home, SOMEBODY, SOMEBODY)
    with pytest.raises(Unusable, match="belongs to"):
        prepare_home(home)


def test_a_home_that_everybody_shares_is_refused(home: Path) -> None:
    home.mkdir()
    home.chmod(0o1777)
    with pytest.raises(Unusable, match=r"everybody.*WEFT_HOME"):
        prepare_home(home)
    assert mode(home) == 0o1777


def test_ones_own_link_may_lead_to_a_home(home: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    home.symlink_to(tmp_path / "elsewhere")
    with instance(home, []):
        pass
    assert mode(tmp_path / "elsewhere") == 0o700


@pytest.mark.usefixtures("umask")
def test_a_file_is_written_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    file.chmod(0o600)
    private.write(file, "after")
    assert (file.read_text(), mode(file)) == ("after", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_of_many_who_create_a_file_one_does_and_nobody_sees_half_of_it(tmp_path: Path) -> None:
    file, begin = tmp_path / "key", threading.Barrier(8)
    created, seen = [], set()

    def create(number: int) -> None:
        begin.wait()
        created.append(private.create(file, f"{number}" * 10_000))
        seen.add(file.read_text())

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == [False] * 7 + [True]
    assert seen == {file.read_text()}
    assert len(file.read_text()) == 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


# -- the folder of Postgres' socket


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary directory, where a socket's folder is for a home that is too deep."""
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(0o1777)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(place))
    return place


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    base = tmp_path / ("d" * 90)
    base.mkdir()
    return base


def test_the_folder_of_a_socket_is_its_owners_alone(deep: Path, shared: Path) -> None:
    folder = postgres.socket_folder(deep, os.geteuid())
    assert (folder.parent, mode(folder)) == (shared, 0o700)


def test_a_folder_of_a_socket_that_is_open_to_others_is_closed(deep: Path, shared: Path) -> None:
    folder = postgres.socket_folder(deep, os.geteuid())
    folder.chmod(0o777)
    assert mode(postgres.socket_folder(deep, os.geteuid())) == 0o700


def test_a_link_in_the_place_of_a_sockets_folder_is_refused(deep: Path, shared: Path) -> None:
    folder = postgres.socket_folder(deep, os.geteuid())
    folder.rmdir()
    (shared / "elsewhere").mkdir()
    folder.symlink_to(shared / "elsewhere")
    with pytest.raises(Unusable, match=r"is no folder of .*WEFT_HOME"):
        postgres.socket_folder(deep, os.geteuid())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives things away")
def test_a_sockets_folder_of_somebody_else_is_refused_and_left_as_it_is(deep: Path, shared: Path) -> None:
    folder = postgres.socket_folder(deep, os.geteuid())
    os.chown(folder, SOMEBODY, SOMEBODY)
    with pytest.raises(Unusable, match=rf"belongs to {SOMEBODY}.*WEFT_HOME"):
        postgres.socket_folder(deep, os.geteuid())
    assert folder.stat().st_uid == SOMEBODY


# -- who listens


def test_an_instance_listens_on_this_machine_only(home: Path) -> None:
    from infra.embedded import kafka

    lines = dict(line.split("=", 1) for line in kafka.properties(home, 9092, 9093).splitlines())
    for listener in (*lines["listeners"].split(","), *lines["advertised.listeners"].split(",")):
        assert listener.partition("://")[2].startswith("127.0.0.1:")


def test_the_run_file_of_a_home_one_may_not_read_is_a_clear_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()

    def refused(self: Path, *_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(Unusable, match=r"cannot read .*run.json: Permission denied.*WEFT_HOME"):
        running(home)
