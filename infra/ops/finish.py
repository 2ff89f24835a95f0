"""What a context has begun is finished while its workers are away: its policy hears what it has not heard, and what the
context asked itself is decided, by the same writer that does it at work.
"""

from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer

from infra.errors import LogMoved, Unusable
from infra.kafka import reading, topics
from infra.kafka.inbound import gauging
from infra.kafka.log import EventLog, KafkaEventLog, Producer, addressed, connected
from infra.kafka.reading import Place
from infra.kafka.topics import HEARD_TOPIC
from infra.mesh import Mesh
from infra.model.context import Context
from infra.ops.disk import disk_and_budget
from infra.ops.inbound import Tail, troubles
from infra.ops.positions import listener
from infra.settings import Settings, address
from infra.wire.envelope import Way
from infra.write.aggregates import Aggregates
from infra.write.fingerprint import fingerprint
from infra.write.heard import Heard
from infra.write.intents import Intent
from infra.write.reactions import commands_from
from infra.write.state import State
from infra.write.writer import Writer


async def hear(
    settings: Settings, mesh: Mesh, client: Consumer, producer: Producer, context: Context, ends: Mapping[Place, int]
) -> int:
    """Let a context's policy hear these topics up to `ends`; how much was asked because of it."""
    who = listener(settings, mesh, context)
    heard = Heard(who)
    heard.load(topics.heard_positions(settings))
    start = {place: min(heard.position(place), end) for place, end in ends.items()}
    asked = 0
    for batch in reading.read_all(client, start, ends):
        for place, records in reading.by_place(batch).items():
            commands = list(commands_from(context, mesh.codec, records, who.topic_ids[place[0]]))
            await producer.send(context.own_topic, addressed(commands, context.partition_count(settings)))
            heard.note(place, records[-1].offset + 1)
            asked += len(commands)
    await producer.send(HEARD_TOPIC, [(0, record) for record in heard.unsaved()])
    return asked


async def decide_own(client: Consumer, context: Context, writers: Mapping[int, Writer], done: dict[Place, int]) -> int:
    """Decide what the context asked itself, behind `done`, which moves on; how much that was."""
    places = reading.partitions_of(client, [context.own_topic])
    bounds = {place: reading.bounds(client, place) for place in places if place[1] in writers}
    start = {place: max(low, done[place]) for place, (low, _) in bounds.items()}
    count = 0
    for batch in reading.read_all(client, start, {place: high for place, (_, high) in bounds.items()}):
        for place, records in reading.by_place(batch).items():
            await writers[place[1]].handle_own(records)
            await writers[place[1]].write_down()
            done[place] = records[-1].offset + 1
            count += len(records)
    return count


async def finish(settings: Settings, mesh: Mesh, client: Consumer, context: Context) -> None:
    """Nobody else may be at work for the context. What it wants of the outside and of the clock is left to its next owner."""
    async with connected(address(settings, "kafka"), context.name) as (producer, reader):
        log = KafkaEventLog(context.events_topic, producer, reader)
        writers = await _writers(settings, mesh, context, log, producer)
        try:
            await _finish(settings, mesh, client, context, producer, await _unsealed(writers))
        finally:
            for writer in writers.values():
                await writer.close()


async def _finish(
    settings: Settings,
    mesh: Mesh,
    client: Consumer,
    context: Context,
    producer: Producer,
    writers: Mapping[int, Writer],
) -> None:
    if not writers:
        return  # what lies in a sealed partition is decided in the next log
    _check_inbound(settings, context, writers)
    places = reading.partitions_of(client, mesh.heard_topics(context))
    itself = [place for place in places if place[0] == context.events_topic]
    # who speaks to it may be at work, and never comes to an end
    others = reading.ends(client, [place for place in places if place not in itself])
    done = {(context.own_topic, n): w.aggregates.cursors[Way.OWN] for n, w in writers.items()}
    while True:
        asked = await hear(settings, mesh, client, producer, context, {**others, **reading.ends(client, itself)})
        if not asked and not await decide_own(client, context, writers, done):
            return


async def _unsealed(writers: Mapping[int, Writer]) -> dict[int, Writer]:
    """Those whose partition was not sealed by an earlier run; they have caught up."""
    unsealed = {}
    for number, writer in writers.items():
        try:
            await writer.catch_up()
            unsealed[number] = writer
        except LogMoved:
            pass
    return unsealed


def _check_inbound(settings: Settings, context: Context, writers: Mapping[int, Writer]) -> None:
    """Unusable if a command topic is not the one that was decided from: somebody has to say first where it goes on."""
    known = {
        n: Tail(w.aggregates.next_offset, w.aggregates.timestamp, w.aggregates.inbound) for n, w in writers.items()
    }
    with gauging(address(settings, "kafka")) as gauge:
        for why, _, _ in troubles(gauge, context, known, context.partition_count(settings)).values():
            raise Unusable(f"{why}: {why.next(context.name)}")


async def _writers(
    settings: Settings, mesh: Mesh, context: Context, log: EventLog, producer: Producer
) -> dict[int, Writer]:
    disk, budget = disk_and_budget(settings)
    ids = reading.topic_ids(address(settings, "kafka"), [context.events_topic])
    code = fingerprint(context, mesh.codec)
    writers = {}
    for number in range(context.partition_count(settings)):
        aggregates = Aggregates(context, mesh.codec, number, context.partition_count(settings), settings.dedupe_ms)
        state = await State.opened(aggregates, disk, ids[context.events_topic], code, budget.share)
        budget.partitions += 1
        writers[number] = Writer(state, log, producer, _left)
    return writers


def _left(intents: Sequence[Intent]) -> None: ...
