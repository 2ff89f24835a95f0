"""Addresses, and the logins that follow from them."""

import pickle

import pytest

from infra.errors import Unusable
from infra.read.postgres import analyst, shown
from infra.settings import Settings, address, as_role

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


def test_a_missing_address_says_how_to_get_one() -> None:
    with pytest.raises(Unusable, match="weft up"):
        address(Settings(kafka=None), "kafka")


def test_a_variable_that_is_no_setting_of_ours_is_left_to_whoever_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_OUTSIDE", "x")
    assert Settings().given("outside") == "x"


def test_settings_in_another_process_are_the_same() -> None:
    here = Settings(kafka="broker:9092").having(gateway="http://gateway")
    assert pickle.loads(pickle.dumps(here)).given("gateway") == "http://gateway"
