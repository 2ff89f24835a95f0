"""What the shop's contexts need outside, and who gets it."""

import re
import subprocess
import sys

import pytest

from infra.errors import Unusable
from infra.model.needs import Variables, needed
from infra.ops.setup import check_needs
from infra.settings import Settings
from infra.shop.mesh import mesh
from streams.notifications.needs import SANDBOX
from streams.payments.effects import connect
from streams.payments.needs import Needs as PaymentsNeeds

OUTSIDE = mesh.outside
BARE = OUTSIDE.nothing_given(Settings()).having(kafka="broker:9092", postgres="postgresql://db")
ALL = BARE.having(**{name: f"the-{name}" for name in (*OUTSIDE.addresses, *OUTSIDE.secrets)})


def test_an_sms_service_is_served_though_gateway_and_mail_server_are_given() -> None:
    assert OUTSIDE.wanted(BARE.having(gateway="http://gateway", smtp="mail:25")) == {SANDBOX: ["sms", "push"]}


def test_a_worker_without_an_sms_service_says_so_before_it_starts() -> None:
    with pytest.raises(Unusable, match=r"^no address for sms: .* set WEFT_SMS$"):
        check_needs(ALL.having(sms=""), mesh, ["notifications"])


def test_a_missing_key_for_push_messages_stops_nobody() -> None:
    check_needs(ALL.having(push="", push_key=""), mesh, ["notifications"])


async def test_a_worker_without_a_gateway_says_so_before_it_starts() -> None:
    with pytest.raises(Unusable, match="WEFT_GATEWAY, or WEFT_STRIPE_KEY"):
        async with connect(PaymentsNeeds()):
            pass


def test_stripe_is_not_asked_at_the_sandbox() -> None:
    assert "gateway" not in OUTSIDE.missing(BARE.having(stripe_key="sk_live"))


def test_payments_cannot_see_what_others_need() -> None:
    seen = needed(ALL, mesh.context("payments").needs)
    assert set(seen.model_dump()) == {"gateway", "gateway_timeout", "stripe_key", "stripe_webhook_secret"}


def test_a_context_that_says_nothing_gets_nothing() -> None:
    assert needed(ALL, mesh.context("orders").needs) == Variables()


@pytest.mark.parametrize("name", sorted(OUTSIDE.stand_ins))
def test_a_stand_in_serves_what_is_asked_of_it(name: str) -> None:
    command = [sys.executable, "-m", OUTSIDE.stand_ins[name].module, "/nowhere", "127.0.0.1", "nothing=1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert re.search(rf"these are served: .*\b{name}\b", done.stderr)
