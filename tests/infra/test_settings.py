"""Addresses, and the logins that follow from them."""

import pickle
from pathlib import Path

import pytest

from infra.embedded.instance import environment
from infra.errors import Unusable
from infra.read.postgres import analyst, connection, shown
from infra.settings import Settings, address, as_role, service_login

SOCKET = "postgresql://postgres@/postgres?host=/run/weft"
SERVER = "postgresql://postgres:secret@db:5432/postgres"


def test_over_a_socket_a_role_logs_in_without_a_password() -> None:
    assert as_role(SOCKET, "weft_orders") == "postgresql://weft_orders@/postgres?host=/run/weft"


def test_over_the_network_a_roles_password_follows_from_the_owners() -> None:
    url = as_role(SERVER, "weft_orders")
    assert url.startswith("postgresql://weft_orders:")
    assert url.endswith("@db:5432/postgres")
    assert "secret" not in url


def test_no_role_can_log_in_as_another() -> None:
    assert as_role(SERVER, "weft_orders").partition("@")[0] != as_role(SERVER, "weft_payments").partition("@")[0]


@pytest.mark.parametrize("url", [SERVER, analyst(SERVER)])
def test_what_is_shown_holds_no_password(url: str) -> None:
    assert shown(url).endswith("@db:5432/postgres")
    assert url.partition("://")[2].partition(":")[2].partition("@")[0] not in shown(url)


ODD = [
    "postgresql://postgres@db:5432/x?password=canary",
    "postgresql://postgres:canary@db:5432/x?sslkey=canary",
    "postgres:canary@db:5432",
    "postgresql://postgres:canary/pw@db:5432/x",
    "postgresql://postgres:canary[pw@db:5432/x",
    "postgresql://postgres:ca@canary@db:5432/x",
    "host=db password=canary",
    "http://user:canary@registry",
]


@pytest.mark.parametrize("url", ODD)
def test_an_address_that_is_written_otherwise_shows_no_password_either(url: str) -> None:
    assert "canary" not in shown(url)


@pytest.mark.parametrize("url", ["mail:1025", "http://gateway:8181", SOCKET, "/home/of/weft"])
def test_an_address_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert shown(url) == url


@pytest.mark.parametrize("url", [*ODD[2:5], ODD[6], "postgresql://postgres:canary@db:port/x"])
async def test_an_address_that_cannot_be_read_is_a_clear_error_without_it(url: str) -> None:
    with pytest.raises(Unusable, match="WEFT_POSTGRES") as refused:
        async with connection(url):
            pass
    assert "canary" not in str(refused.value) + repr(refused.value.__cause__)


def test_a_login_at_an_address_that_cannot_be_read_is_a_clear_error_without_it() -> None:
    with pytest.raises(Unusable, match="WEFT_POSTGRES") as refused:
        as_role(ODD[4], "weft_orders")
    assert "canary" not in str(refused.value)


def test_settings_show_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_VAULT_KEY", "canary")
    assert "canary" not in repr(Settings(postgres=ODD[0]).having(schema_registry=ODD[7]))


def test_a_missing_address_says_how_to_get_one() -> None:
    with pytest.raises(Unusable, match="weft up"):
        address(Settings(kafka=None), "kafka")


def test_a_variable_that_is_no_setting_of_ours_is_left_to_whoever_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_OUTSIDE", "x")
    assert Settings().given("outside") == "x"


def test_settings_in_another_process_are_the_same() -> None:
    here = Settings(kafka="broker:9092").having(gateway="http://gateway")
    assert pickle.loads(pickle.dumps(here)).given("gateway") == "http://gateway"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file as an orchestrator hands it to a process."""
    file = tmp_path / "secret"
    file.write_text("from a file\n")
    return file


@pytest.mark.parametrize("name", ["postgres", "vault_key"])
def test_a_variable_may_be_given_as_a_file(name: str, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(f"WEFT_{name.upper()}", raising=False)
    monkeypatch.setenv(f"WEFT_{name.upper()}_FILE", str(secret))
    assert Settings().given(name) == "from a file"


@pytest.mark.parametrize("name", ["postgres", "vault_key"])
def test_a_variable_that_is_given_twice_is_refused(name: str, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"WEFT_{name.upper()}", "canary")
    monkeypatch.setenv(f"WEFT_{name.upper()}_FILE", str(secret))
    with pytest.raises(Unusable, match=rf"^WEFT_{name.upper()} is given, and WEFT_{name.upper()}_FILE too") as refused:
        Settings()
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_file_that_gives_nothing_is_refused(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "secret").write_text(content)
    monkeypatch.delenv("WEFT_VAULT_KEY", raising=False)
    monkeypatch.setenv("WEFT_VAULT_KEY_FILE", str(tmp_path / "secret"))
    with pytest.raises(Unusable, match="WEFT_VAULT_KEY_FILE"):
        Settings()


def test_a_file_that_is_not_named_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEFT_VAULT_KEY", raising=False)
    monkeypatch.setenv("WEFT_VAULT_KEY_FILE", "")
    assert Settings().given("vault_key") is None


def test_a_child_that_inherits_the_file_has_what_it_is_given(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POSTGRES", "VAULT_KEY"):
        monkeypatch.delenv(f"WEFT_{name}", raising=False)
        monkeypatch.setenv(f"WEFT_{name}_FILE", str(secret))
    for name, value in environment(Settings().having(vault_key="")).items():
        monkeypatch.setenv(name, value)
    assert (Settings().postgres, Settings().given("vault_key")) == ("from a file", None)


# -- the login of a service


SERVICE = "postgresql://weft_service_orders:pw@db:5432/weft"


def test_a_service_logs_in_as_itself_whatever_role_it_plays() -> None:
    assert as_role(SERVICE, "weft_vault") == SERVICE


def test_a_service_shows_no_password() -> None:
    assert "pw" not in shown(SERVICE)


def test_the_login_of_a_service_is_called_as_it_is() -> None:
    assert [service_login(name) for name in ("orders", "read-models")] == [
        "weft_service_orders",
        "weft_service_read_models",
    ]
