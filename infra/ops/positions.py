"""How far each policy has heard, as `weft.heard` says it: shown, begun at now, and brought over from the groups of before."""

import asyncio
import json
from collections.abc import Iterable, Mapping

from confluent_kafka import Consumer

from infra.errors import Unusable
from infra.kafka import reading, topics
from infra.kafka.log import Producer
from infra.kafka.reading import Place
from infra.kafka.topics import HEARD_TOPIC
from infra.mesh import Mesh
from infra.messages import Begun
from infra.model.context import Context
from infra.ops.dead import OPEN, Letter, Office
from infra.ops.keeping import Last, append, of_itself
from infra.settings import Settings, address
from infra.wire.avro import Codec
from infra.wire.envelope import REACTION, event_record, is_accepted
from infra.wire.record import Outgoing, Read, Record
from infra.write.heard import Listener, positions

SHOWN = 5
OLD = "groups/"  # the key of what a mesh of one way had heard by its groups, until that is brought over


def listener(settings: Settings, mesh: Mesh, context: Context) -> Listener:
    """A context as it listens."""
    names = [context.own_topic, *mesh.heard_topics(context)]
    ids = reading.topic_ids(address(settings, "kafka"), names)
    return Listener(context.name, ids[context.own_topic], ids)


def heard(settings: Settings, mesh: Mesh, client: Consumer, context: Context) -> dict[Place, tuple[int | None, int]]:
    """Of each partition its policy hears: how far it has, None if it has never begun, and how long that log is."""
    known, who = positions(topics.heard_positions(settings)), listener(settings, mesh, context)
    places = reading.partitions_of(client, mesh.heard_topics(context))
    return {place: (known.get(who.key(place)), end) for place, end in reading.ends(client, places).items()}


def history(settings: Settings, mesh: Mesh) -> dict[str, int]:
    """How many events of the past each policy is going to hear that has never begun."""
    unheard = {}
    with reading.opened(settings) as client:
        for context in (c for c in mesh.contexts.values() if c.hears):
            known = heard(settings, mesh, client, context)
            count = sum(end for _, end in known.values())
            if count and not _has_begun(settings, mesh, client, context, known):
                unheard[context.name] = count
    return unheard


def _has_begun(
    settings: Settings, mesh: Mesh, client: Consumer, context: Context, known: Mapping[Place, tuple[int | None, int]]
) -> bool:
    """Whether a policy has ever heard anything: its positions say so, or if they are lost what was asked because of it.

    What it has only heard is known to its group, for as long as Kafka remembers that.
    """
    if any(position is not None for position, _ in known.values()):
        return True
    if any(topics.committed(settings, context, known).values()):
        return True
    ends = reading.ends(client, reading.partitions_of(client, [context.events_topic]))
    said = (record for batch in reading.read_all(client, {}, ends) for record in batch)
    asked = (record for batch in reading.read_whole(client, [context.own_topic]) for record in batch)
    return tells_of_a_beginning(mesh.codec, said, len(ends)) or any(REACTION in dict(r.headers) for r in asked)


def tells_of_a_beginning(codec: Codec, records: Iterable[Record], partitions: int) -> bool:
    """Whether a context's log has a reaction, or says in all partitions where its policy began."""
    told = set()
    for record in records:
        if is_accepted(record):
            event = event_record(record)
            if event.identity is not None and event.identity[0] == REACTION:
                return True
            if event.value[:5] == codec.prefix_of(Begun):
                told.add(record.partition)
    return len(told) == partitions


def begin_now(settings: Settings, mesh: Mesh, name: str) -> int:
    """Let a policy that has never begun hear only what comes from now on; how many events that leaves out."""
    context = mesh.context(name)
    with topics.admin(settings) as admin:
        if topics.at_work(admin, [context]):
            raise Unusable(f"{name} is at work, and hears what there is: stop its workers first")
    with reading.opened(settings) as client:
        begun = heard(settings, mesh, client, context)
        if not begun:
            raise Unusable(f"{name} hears nothing")
        if _has_begun(settings, mesh, client, context, begun):
            raise Unusable(f"{name} has begun to hear: what it has not heard yet is not to be left out")
        begin(settings, mesh, client, context, {place: end for place, (_, end) in begun.items()})
    return sum(end for _, end in begun.values())


def begin(settings: Settings, mesh: Mesh, client: Consumer, context: Context, at: Mapping[Place, int]) -> None:
    """Let a policy hear these partitions from here on. Its context's log says so, for positions may be lost."""
    who = listener(settings, mesh, context)
    event = Begun(places=tuple(f"{who.topic_ids[topic]}/{number}/{offset}" for (topic, number), offset in at.items()))
    asyncio.run(_say(settings, mesh, client, context, event))
    write(settings, [who.record(place, offset) for place, offset in at.items()])


async def _say(settings: Settings, mesh: Mesh, client: Consumer, context: Context, event: Begun) -> None:
    producer = Producer(address(settings, "kafka"), "weft-positions")
    try:
        for place in reading.partitions_of(client, [context.events_topic]):

            def record_at(end: Last, place: Place = place) -> Outgoing:
                return of_itself(mesh.codec, event, context, place, end.end, end.at)

            await append(producer, client, mesh.codec, place, record_at)
    finally:
        await producer.stop()


# -- a mesh whose policies were remembered by their groups, and whose commands came by one way


def note_groups(settings: Settings, mesh: Mesh) -> None:
    """Write down what the policies of such a mesh have heard, before it gets a second way; Unusable unless it is at rest.

    What it asked itself and has not decided yet lies where only strangers ask from now on; and what its workers, which know
    of one way only, do after that is done once more.
    """
    with topics.admin(settings) as admin:
        there = admin.list_topics(timeout=topics.TIMEOUT).topics
        old = [c for c in mesh.contexts.values() if c.commands_topic in there and c.own_topic not in there]
        busy = topics.at_work(admin, old)
    if not old:
        return
    if busy:
        raise Unusable(
            f"{', '.join(busy)} is at work in the version of before: stop its workers once nothing waits, and run this again"
        )
    for context in old:
        if stuck := stranded(mesh.codec, context, Office(settings, mesh, context).letters()):
            raise Unusable(
                f"{context.name} keeps what only it asks itself from now on, and nobody could send that again: "
                f"{', '.join(f'{letter.type} {letter.id} of {letter.key}' for letter in stuck[:SHOWN])}. Redrive or discard "
                f"it with the version of before (`weft dead list`), and run this again"
            )
    with reading.opened(settings) as client:
        groups = {c.name: _group(settings, mesh, client, c, there) for c in old}
    topics.make_heard(settings)
    write(settings, [_noted(name, group) for name, group in groups.items()])


def stranded(codec: Codec, context: Context, letters: Iterable[Letter]) -> list[Letter]:
    """Those that wait where anybody may ask and are what only the context asks itself; nobody else's may pass for them."""
    own = {codec.names[t] for t in context.own if t not in context.asked}
    return [letter for letter in letters if letter.status in OPEN and letter.way == "commands" and letter.type in own]


def _group(
    settings: Settings, mesh: Mesh, client: Consumer, context: Context, there: Iterable[str]
) -> dict[Place, int]:
    names = [t for t in (context.commands_topic, *mesh.heard_topics(context)) if t in there]
    ends = reading.ends_of_any(client, reading.partitions_of(client, names))
    read = topics.committed(settings, context, ends)
    if waiting := sum(end - read[place] for place, end in ends.items()):
        raise Unusable(
            f"{context.name} has {waiting} records to read that were written before there were two ways in: run the version "
            "of before until `weft status` shows that nothing waits, stop it, and run this again"
        )
    return {place: end for place, end in ends.items() if place[0] != context.commands_topic}


def _noted(name: str, group: Mapping[Place, int]) -> Outgoing:
    said = [{"topic": topic, "partition": number, "offset": end} for (topic, number), end in group.items()]
    return Outgoing(f"{OLD}{name}".encode(), json.dumps(said).encode(), [])


def bring_over(settings: Settings, mesh: Mesh) -> None:
    """Make positions of what was written down; who was interrupted does it again."""
    latest: dict[bytes, Read] = {record.key or b"": record for record in topics.heard_positions(settings)}
    for key, record in latest.items():
        if record.value and key.startswith(OLD.encode()):
            context = mesh.context(key.decode().removeprefix(OLD))
            said = {(p["topic"], p["partition"]): p["offset"] for p in json.loads(record.value)}
            if said:
                with reading.opened(settings) as client:
                    begin(settings, mesh, client, context, said)
            write(settings, [Outgoing(key, None, [])])


def write(settings: Settings, records: Iterable[Outgoing]) -> None:
    """Put records into `weft.heard`."""
    asyncio.run(_send(settings, [(0, record) for record in records]))


async def _send(settings: Settings, records: list[tuple[int, Outgoing]]) -> None:
    producer = Producer(address(settings, "kafka"), "weft-positions")
    try:
        await producer.send(HEARD_TOPIC, records)
    finally:
        await producer.stop()
