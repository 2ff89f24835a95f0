"""`weft dead`: parked in order, shown, redriven, mended and discarded."""

import json

from tests.live.harness import LiveMesh, until
from tests.live.shop import cancel_in_bytes, paid_order, place, receipt, saga
from tests.live.weft import weft


def dead(live: LiveMesh, *arguments: str) -> tuple[int, str]:
    done = weft(live, "dead", *arguments)
    return done.returncode, done.stdout + done.stderr


def status(live: LiveMesh, key: str) -> list[tuple[str, str]]:
    lines = weft(live, "dead", "list", "orders", "--all", "--json").stdout.splitlines()
    return [(letter["id"], letter["status"]) for letter in map(json.loads, lines) if letter["key"] == key]


def junk_of_its_own(live: LiveMesh, order: str, identity: str) -> None:
    """What the context asked itself, and nobody can read."""
    live.produce("orders.own", b"junk", order.encode(), ce_type=b"orders.RecordPayment", ce_id=identity.encode())


def parked(live: LiveMesh, order: str) -> None:
    """An order with junk of its own, and a cancellation that waits behind."""
    paid_order(live, order)
    junk_of_its_own(live, order, f"bad-{order}")
    receipt(live, f"bad-{order}", "rejected")
    cancel_in_bytes(live, order, f"cancel-{order}", b'{"reason": "changed my mind"}')
    receipt(live, f"cancel-{order}", "parked")


def test_what_waits_is_listed_in_order_and_shown_whole(shop: LiveMesh) -> None:
    parked(shop, "dead-1")
    assert status(shop, "dead-1") == [("bad-dead-1", "waiting"), ("cancel-dead-1", "behind")]
    code, output = dead(shop, "show", "orders", "bad-dead-1")
    assert code == 0
    assert all(part in output for part in ("not_avro", "junk", "dlq-original-offset", "Rejected"))
    assert dead(shop, "show", "orders", "nobody")[0] == 1


def test_what_cannot_be_processed_still_is_rejected_again_and_keeps_its_place(shop: LiveMesh) -> None:
    parked(shop, "dead-2")
    code, output = dead(shop, "redrive", "orders", "dead-2")
    assert (code, "rejected again" in output) == (1, True)
    assert status(shop, "dead-2") == [("bad-dead-2", "waiting"), ("cancel-dead-2", "behind")]


def test_discarding_the_first_lets_the_next_be_redriven(shop: LiveMesh) -> None:
    parked(shop, "dead-3")
    code, output = dead(shop, "discard", "orders", "bad-dead-3", "--reason", "a test")
    assert (code, "discarded" in output) == (0, True)
    assert status(shop, "dead-3") == [("bad-dead-3", "discarded"), ("cancel-dead-3", "waiting")]
    code, output = dead(shop, "redrive", "orders", "dead-3")
    assert (code, "processed" in output) == (0, True)
    assert saga(shop, "dead-3", "done")["reason"] == "changed my mind"
    receipt(shop, "bad-dead-3", "discarded")
    assert dead(shop, "discard", "orders", "bad-dead-3", "--reason", "again")[0] == 1


def test_letters_of_one_id_are_told_apart_by_their_keys(shop: LiveMesh) -> None:
    for order in ("dead-5", "dead-6"):
        junk_of_its_own(shop, order, "same")
    until(lambda: status(shop, "dead-5") == status(shop, "dead-6") == [("same", "waiting")], 20, "both wait")
    code, output = dead(shop, "discard", "orders", "same", "--reason", "a test")
    assert (code, "--key dead-6 --way own" in output) == (1, True)
    code, output = dead(shop, "discard", "orders", "same", "--key", "dead-6", "--reason", "a test")
    assert (code, status(shop, "dead-5"), status(shop, "dead-6")) == (0, [("same", "waiting")], [("same", "discarded")])
    assert dead(shop, "discard", "orders", "same", "--reason", "a test")[0] == 0


def test_what_was_no_command_is_in_nobodys_way_and_may_be_sent_again_as_it_was_meant(shop: LiveMesh) -> None:
    # given an order, and junk of its key
    paid_order(shop, "dead-4")
    cancel_in_bytes(shop, "dead-4", "bad-dead-4", b"junk")
    receipt(shop, "bad-dead-4", "rejected")
    # then what comes behind it is decided, and it is kept without what nobody has read of it
    mended = weft(shop, "send", "orders.ShipOrder", "dead-4", "{}", "--wait")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert status(shop, "dead-4") == [("bad-dead-4", "kept")]
    _, output = dead(shop, "show", "orders", "bad-dead-4")
    assert ("not_avro" in output, "junk" in output) == (True, False)
    # and who sent it may say under its id what he meant
    again = weft(shop, "send", "orders.CancelOrder", "dead-4", '{"reason":"too late"}', "--id", "bad-dead-4", "--wait")
    assert (again.returncode, "already_shipped" in again.stdout + again.stderr) == (1, True)
    until(lambda: status(shop, "dead-4") == [("bad-dead-4", "processed")], 20, "it is dealt with")


def blocked(live: LiveMesh, order_id: str) -> None:
    """An order with junk of its key in what the context asks itself, before its payment is heard of, which waits behind."""
    place(live, order_id, card="card_stuck", patience_s=900)
    receipt(live, f"place-{order_id}", "accepted")
    junk_of_its_own(live, order_id, f"own-{order_id}")
    until(lambda: "behind" in [s for _, s in status(live, order_id)], 30, "the payment waits")


def test_what_a_policy_asked_waits_behind_a_letter_and_is_redriven_when_that_is_discarded(shop: LiveMesh) -> None:
    # given a letter of what the context asked itself, and what its policy asked behind it
    blocked(shop, "dead-8")
    (first, *behind) = status(shop, "dead-8")
    assert (first, {s for _, s in behind}) == (("own-dead-8", "waiting"), {"behind"})
    # then sending it again changes nothing
    code, output = dead(shop, "redrive", "orders", "dead-8")
    assert (code, "rejected again" in output) == (1, True)
    assert status(shop, "dead-8") == [first, *behind]
    # until it is given up: what waited is processed, once and in order, and the order goes on
    assert dead(shop, "discard", "orders", "own-dead-8", "--reason", "a test")[0] == 0
    code, output = dead(shop, "redrive", "orders", "dead-8")
    assert (code, "processed" in output) == (0, True)
    assert saga(shop, "dead-8", "to be shipped")["outcome"] == "confirmed"
    assert {s for _, s in status(shop, "dead-8")} == {"discarded", "processed"}


def test_what_a_policy_asked_is_discarded_and_what_is_behind_it_goes_on(shop: LiveMesh) -> None:
    # given what a policy asked at the head of a queue, since what was in front of it is given up
    blocked(shop, "dead-9")
    assert dead(shop, "discard", "orders", "own-dead-9", "--reason", "a test")[0] == 0
    (payment,) = [identity for identity, s in status(shop, "dead-9") if s == "waiting"]
    cancel_in_bytes(shop, "dead-9", "cancel-dead-9", b'{"reason": "it takes too long"}')
    receipt(shop, "cancel-dead-9", "parked")
    # when that is given up as well
    assert dead(shop, "discard", "orders", payment, "--reason", "a test")[0] == 0
    code, output = dead(shop, "redrive", "orders", "dead-9")
    # then what is behind it is processed
    assert (code, "processed" in output) == (0, True)
    assert saga(shop, "dead-9", "done")["reason"] == "it takes too long"
