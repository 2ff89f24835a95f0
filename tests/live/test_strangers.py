"""What anybody may write into a topic of commands: it is answered, and nobody else notices."""

import pytest

from infra.edge.client import Wish
from infra.testing.strangers import TABLE, Model, record_of
from infra.wire.limits import MAX_UNPACKED_BYTES
from infra.wire.record import Outgoing, partition_of
from tests.live.harness import LiveMesh, until
from tests.live.raw import STAND_IN, post_what_unpacks_to, post_with_a_name_that_is_no_text
from tests.live.shop import answer, receipt, send, until_set_up
from tests.live.weft import weft

TOPIC, TYPE = "orders.commands", b"orders.CancelOrder"
PARTITIONS = 4


def model(live: LiveMesh, order_id: str) -> Model:
    message = next(t for t in live.mesh.context("orders").asked if t.__name__ == "CancelOrder")
    value = live.mesh.codec.encode(message(order_id=order_id, reason="x"))
    return Model(order_id.encode(), value, TYPE)


def rejected(live: LiveMesh) -> dict[str, int]:
    rows = live.query(
        "SELECT code, count(*) AS n FROM receipts WHERE context = 'orders' AND status = 'rejected' GROUP BY 1"
    )
    return {row["code"]: row["n"] for row in rows}


def test_whatever_a_stranger_writes_is_answered_and_the_next_command_of_its_key_is_decided(shop: LiveMesh) -> None:
    # given every hostile record that a producer can write, each about an order of its own
    before, names = rejected(shop), [name for name in TABLE if TABLE[name].is_on_the_wire]
    for number, name in enumerate(names):
        record = record_of(name, model(shop, f"hostile-{number}"), f"hostile-{number}")
        shop.post_record(TOPIC, record)
    # when somebody asks something of the same orders
    shop.send(*(Wish("orders.CancelOrder", f"hostile-{n}", {"reason": "x"}, f"behind-{n}") for n in range(len(names))))
    # then that is decided, each of the others has one answer, and nothing waits
    for number in range(len(names)):
        assert receipt(shop, f"behind-{number}")["code"] == "unknown_order"
    wanted = [TABLE[name].code for name in names]
    until(lambda: sum(rejected(shop).values()) - sum(before.values()) >= len(names), 20, "all are answered")
    assert {c: n - before.get(c, 0) for c, n in rejected(shop).items()} == {
        c: wanted.count(c) for c in sorted({*wanted})
    }


def test_a_header_whose_name_is_no_text_stops_nobody(shop: LiveMesh) -> None:
    key = "bad-name-1"
    about = model(shop, key)
    number = partition_of(key.encode(), PARTITIONS)
    record = Outgoing(about.key, about.value, [("ce_type", TYPE), (STAND_IN, b"1")])
    offset = post_with_a_name_that_is_no_text(shop.settings.kafka or "", TOPIC, number, record)
    assert answer(shop, "orders.CancelOrder", key, reason="x")["code"] == "unknown_order"
    (said,) = shop.query("SELECT * FROM receipts WHERE command_id LIKE $1", f"{TOPIC}/{number}/{offset}@%")
    assert (said["status"], said["code"]) == ("rejected", "bad_header")


@pytest.mark.timeout(120)
def test_what_unpacks_to_too_much_is_answered_also_where_it_was_decided_last(own_mesh: LiveMesh) -> None:
    # given a context whose last command in a partition was a small batch that unpacks to very much
    live = own_mesh
    worker = live.worker()
    live.ready(worker)
    until_set_up(live)
    key = "bomb-1"
    number = partition_of(key.encode(), PARTITIONS)
    record = Outgoing(key.encode(), None, [("ce_type", TYPE)])
    post_what_unpacks_to(live.settings.kafka or "", TOPIC, number, record, 8 * MAX_UNPACKED_BYTES)
    until(lambda: rejected(live) == {"too_large": 1}, 30, "it is answered")
    # when its worker starts again
    worker.terminate()
    assert worker.wait(30) == 0
    live.ready(live.worker())
    # then it goes on with what comes behind it
    assert answer(live, "orders.CancelOrder", key, reason="x")["code"] == "unknown_order"


@pytest.mark.timeout(120)
def test_a_command_that_nobody_can_get_past_is_passed_by(own_mesh: LiveMesh) -> None:
    live = own_mesh
    worker = live.worker()
    live.ready(worker)
    until_set_up(live)
    key = "stuck-1"
    number = str(partition_of(key.encode(), PARTITIONS))

    def skip(offset: int, *more: str) -> tuple[int, str]:
        done = weft(live, "skip", "orders", number, str(offset), "--reason", "a test", *more)
        return done.returncode, done.stdout + done.stderr

    # given a partition whose worker is stopped, with two commands that are not decided
    assert answer(live, "orders.CancelOrder", key, reason="x")["code"] == "unknown_order"
    worker.kill()
    worker.wait()
    first, second = (send(live, "orders.CancelOrder", key, reason=str(n)) for n in range(2))
    assert (first.offset, second.offset) == (1, 2)
    # when one is passed by that is not the next, or without a word, nothing is
    assert "the next command there that is not decided is at offset 1" in skip(2, "--yes")[1]
    code, said = skip(1)
    assert (code, f"orders.CancelOrder {first.id}" in said, "nothing was passed by" in said) == (1, True, True)
    # when the next one is, what is behind it is decided, and that is not
    assert skip(1, "--yes")[0] == 0
    live.ready(live.worker())
    assert receipt(live, second.id)["code"] == "unknown_order"
    assert live.query("SELECT * FROM receipts WHERE command_id = $1", first.id) == []
    assert "everything up to its end at 3 is decided" in skip(3, "--yes")[1]
    assert weft(live, "verify").returncode == 0
