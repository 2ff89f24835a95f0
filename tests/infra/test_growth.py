"""A log in more partitions: the same events, ids, states and wishes, and the same answers to what is sent again."""

from dataclasses import replace
from functools import cache

import pytest

from infra.errors import LogMoved
from infra.mesh import Growth
from infra.ops.growth import Fingerprints, Target, copy_of, first_records, is_copied, seal, target_of
from infra.settings import DAY_MS
from infra.shop.mesh import CONTEXTS, mesh
from infra.wire.digest import digest_of
from infra.wire.envelope import ID, REACTION, TYPE, meta
from infra.wire.inbound import Inbound
from infra.wire.record import Outgoing, Read
from infra.write.aggregates import Aggregates
from infra.write.decision import CommandHandler
from tests.shop.story import Shop, a_shop, story

CODEC = mesh.codec
MORE = 5


@cache
def run(seed: int) -> Shop:
    """A shop that has a history."""
    world = a_shop(seed)
    world.play(story)
    return world


def logs(world: Shop, topic: str) -> list[list[Read]]:
    return [world.kafka.log(topic, number) for number in range(world.kafka.partitions)]


def landed(topic: str, partition: int, records: list[Outgoing]) -> list[Read]:
    return [
        Read(topic, partition, i, r.timestamp or 0, r.key, r.value, tuple(r.headers)) for i, r in enumerate(records)
    ]


def grown(world: Shop, name: str) -> dict[int, list[Read]]:
    """The log of a context, copied into more partitions."""
    context = mesh.context(name)
    target = Target(context, f"{name}.events.2", MORE)
    new = {
        n: first_records(CODEC, context.events_topic, target, n, Inbound.of([("a", 7 * n, None), ("b", 5 * n, None)]))
        for n in range(MORE)
    }
    everything = [r for log in logs(world, context.events_topic) for r in log if is_copied(CODEC, r)]
    for record in sorted(everything, key=lambda r: (r.timestamp, r.partition, r.offset)):
        number = target_of(record, MORE)
        new[number].append(copy_of(record, len(new[number]), f"id-of-{context.events_topic}"))
    return {n: landed(target.topic, n, records) for n, records in new.items()}


def empty(name: str, number: int) -> Aggregates:
    context = replace(mesh.context(name), generation=2, partitions=MORE)
    return Aggregates(context, CODEC, number, MORE, 30 * DAY_MS)


@pytest.mark.parametrize("name", CONTEXTS)
@pytest.mark.parametrize("seed", range(3))
def test_states_wishes_and_known_commands_are_the_same(name: str, seed: int) -> None:
    # given a log that a mesh has written
    world = run(seed)
    owners = []
    for number, log in enumerate(logs(world, f"{name}.events")):
        owners.append(Aggregates(mesh.context(name), CODEC, number, world.kafka.partitions, 30 * DAY_MS))
        owners[-1].fold(log)
    # when it is copied into more partitions, and folded there
    new = []
    for number, records in grown(world, name).items():
        new.append(empty(name, number))
        new[-1].fold(records)
    # then everything its owners knew is known, and each owner goes on where it has to
    for part in ("states", "queues"):
        together = {k: v for p in new for k, v in getattr(p, part).items()}
        assert together == {k: v for p in owners for k, v in getattr(p, part).items()}, part
    wishes = [{i.place: (i.key, i.at) for p in all_ for i in p.intents.values()} for all_ in (new, owners)]
    assert wishes[0] == wishes[1]
    for p in new:
        assert p.cursors == [7 * p.number, 5 * p.number]
    # and what was decided and is sent again changes nothing
    asked = [[r for r in log if any(_is_decided(p, r) for p in owners)] for log in logs(world, f"{name}.commands")]
    reactions = [[r for r in log if REACTION in dict(r.headers)] for log in logs(world, f"{name}.own")]
    for decided in asked + reactions:
        for p in new:
            mine = [r._replace(offset=10_000 + i) for i, r in enumerate(decided) if target_of(r, MORE) == p.number]
            handler = CommandHandler(p)
            assert handler.decide(handler.read(mine)).records == []


def _is_decided(aggregates: Aggregates, record: Read) -> bool:
    """Whether it is what was decided under its id."""
    headers = dict(record.headers)
    seen = aggregates.seen(record.key or b"", headers.get(ID) or b"")
    if seen is None or seen.digest is None:
        return seen is not None
    try:
        return seen.digest == digest_of(headers.get(TYPE) or b"", CODEC.decode(record.value or b""))
    except ValueError:
        return False


@pytest.mark.parametrize("seed", range(3))
def test_what_is_known_of_an_event_stays(seed: int) -> None:
    world = run(seed)
    before = {
        m.id: m
        for log in logs(world, "orders.events")
        for r in log
        if is_copied(CODEC, r)
        for m in [meta(r, dict(r.headers))]
    }
    after = {
        m.id: m
        for log in grown(world, "orders").values()
        for r in log
        if is_copied(CODEC, r)
        for m in [meta(r, dict(r.headers))]
    }
    assert after == before


def test_a_copy_that_lacks_an_event_is_seen() -> None:
    world = run(0)
    before, whole, torn = (Fingerprints(CODEC) for _ in range(3))
    for log in logs(world, "orders.events"):
        for record in log:
            before.add(record)
    copies = [r for log in grown(world, "orders").values() for r in log if is_copied(CODEC, r)]
    for record in copies:
        whole.add(record)
    for record in copies[:-1]:
        torn.add(record)
    assert before.differ(whole) == []
    assert before.differ(torn) == [copies[-1].key]


def test_answers_to_records_without_a_key_are_compared_by_the_partition_they_stay_in() -> None:
    # given such answers in two partitions
    answers = [
        Read("orders.events", n, 0, at, None, b"rejected", [("ce_id", b"%d" % n), ("weft-expected-offset", b"0")])
        for n, at in ((0, 2), (1, 1))
    ]
    by_time, by_partition = Fingerprints(CODEC), Fingerprints(CODEC)
    # when they are read by time, as they are copied, and by partition, as the copy is
    for record in sorted(answers, key=lambda r: r.timestamp):
        by_time.add(record)
    for record in answers:
        by_partition.add(record)
    # then nothing differs
    assert by_time.differ(by_partition) == []


def test_no_aggregate_is_taken_for_a_partition_of_answers_without_a_key() -> None:
    # given an answer without a key in one partition, and in another an event of an aggregate of any name
    accepted = [("ce_id", b"e"), ("weft-expected-offset", b"0")]
    keyless = Read("orders.events", 0, 0, 2, None, b"rejected", accepted)
    for name in (b"no key, 0", b"0", b"\0", b"None"):
        named = Read("orders.events", 1, 0, 1, name, b"placed", accepted)
        by_time, by_partition = Fingerprints(CODEC), Fingerprints(CODEC)
        # when they are read by time, and by partition
        for log, records in ((by_time, (named, keyless)), (by_partition, (keyless, named))):
            for record in records:
                log.add(record)
        # then nothing differs
        assert by_time.differ(by_partition) == []


def test_whoever_reads_a_sealed_log_stops() -> None:
    target = Target(mesh.context("orders"), "orders.events.2", MORE)
    (last,) = landed("orders.events", 0, [seal(CODEC, target, ("orders.events", 0), 0, 5)])
    with pytest.raises(LogMoved, match=r"orders\.events was sealed and goes on in orders\.events\.2"):
        Aggregates(mesh.context("orders"), CODEC, 0, 2, 30 * DAY_MS).take([last])


def test_a_context_that_was_grown_has_the_topics_it_grew_into() -> None:
    grown = mesh.grown({"orders": Growth(3, MORE)})
    assert grown.context("orders").events_topic == "orders.events.3"
    assert grown.context("orders").commands_topic == "orders.commands"
    assert "orders.events.3" in grown.heard_topics(grown.context("payments"))
    assert "orders.events.3" in grown.topics_of(grown.projections["sagas"])
    assert mesh.context("orders").events_topic == "orders.events"
