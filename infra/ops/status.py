"""What a mesh is doing: services, members, and how far everything is behind the log."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.errors import Unknown, Unusable
from infra.kafka import reading, topics
from infra.kafka.reading import Place
from infra.kafka.topics import CIRCUITS_TOPIC, STOPPED_TOPIC
from infra.mesh import Mesh
from infra.model.context import Context
from infra.model.projection import Projection
from infra.ops import positions
from infra.ops.setup import deployed
from infra.read import postgres, tables
from infra.settings import Settings, address, as_role
from infra.write.circuits import current
from infra.write.tries import states
from infra.write.watch import standing_still

TIMEOUT = 10.0


def contexts(settings: Settings, mesh: Mesh) -> dict[str, dict[str, Any]]:
    """For each context: members of its group, its state, commands not yet decided by each way, how far it has heard, dead letters."""
    with topics.admin(settings) as admin, reading.opened(settings) as client:
        return {c.name: _context(settings, mesh, admin, client, c) for c in mesh.contexts.values()}


def _context(settings: Settings, mesh: Mesh, admin: AdminClient, client: Consumer, c: Context) -> dict[str, Any]:
    unknown = ("waiting_commands", "waiting_own", "unheard_events", "dead_letters")
    figures: dict[str, Any] = {"members": 0, "state": "absent", **dict.fromkeys(unknown)}
    try:
        described = admin.describe_consumer_groups([c.group], request_timeout=TIMEOUT)[c.group].result()
        figures |= {"members": len(described.members), "state": described.state.name.lower()}
    except KafkaException:
        pass  # nobody has ever run it
    places = reading.partitions_of(client, [c.commands_topic, c.own_topic])
    if {topic for topic, _ in places} != {c.commands_topic, c.own_topic}:
        return figures | {"state": "no topics"}
    ends = reading.ends_of_any(client, places)
    committed = topics.committed(settings, c, places)
    waiting = {topic: 0 for topic, _ in places}
    for place in places:
        waiting[place[0]] += max(0, ends[place] - committed[place])
    dead = [
        client.get_watermark_offsets(TopicPartition(*place), timeout=TIMEOUT)
        for place in reading.partitions_of(client, [c.dead_topic])
    ]
    heard = positions.heard(settings, mesh, client, c) if c.hears else {}
    figures["waiting_commands"], figures["waiting_own"] = waiting[c.commands_topic], waiting[c.own_topic]
    figures["unheard_events"] = sum(end - (position or 0) for position, end in heard.values())
    figures["heard"] = {f"{topic}/{n}": position for (topic, n), (position, _) in heard.items()}
    figures["dead_letters"] = sum(high - low for low, high in dead)
    return figures


def circuits(settings: Settings) -> list[dict[str, Any]]:
    """The circuits to the outside that are not closed: context, target, state, since when, and whose."""
    with reading.opened(settings) as client:
        return current((r for batch in reading.read_whole(client, [CIRCUITS_TOPIC]) for r in batch), time.time())


def effects(settings: Settings) -> list[dict[str, Any]]:
    """Of each partition where it is so: how much of what is wanted of the outside is parked, and what was tried in vain."""
    return states(topics.tried_effects(settings) or ())


def stopped(settings: Settings) -> list[dict[str, Any]] | None:
    """The partitions of command topics of which nothing is decided: context, topic, partition, what was lost, since when.

    None if nobody can say, since there is no topic where workers say it.
    """
    with reading.opened(settings) as client:
        if not reading.partitions_of(client, [STOPPED_TOPIC]):
            return None
        return standing_still([r for batch in reading.read_whole(client, [STOPPED_TOPIC]) for r in batch])


async def projections(settings: Settings, mesh: Mesh) -> dict[str, dict[str, Any]]:
    """For each projection: rows, how far it has read its topics, and how far that is behind, in events and in seconds."""
    stored = {p.name: await _stored(settings, p) for p in mesh.projections.values()}
    return await asyncio.to_thread(_held_against_the_log, settings, mesh, stored)


@dataclass(frozen=True)
class _Stored:
    """What Postgres says of a projection."""

    rows: int
    read: dict[Place, int]
    checked_s: float
    code: str


async def _stored(settings: Settings, p: Projection) -> _Stored:
    async with postgres.connection(as_role(address(settings, "postgres"), p.role)) as db:
        rows = await db.fetchval(f"SELECT count(*) FROM {p.schema}.{p.name}")
        checked_s = await db.fetchval(f"SELECT extract(epoch FROM now() - checked_at) FROM {p.schema}.head")
        read = {place: offset for place, (_, offset) in (await tables.position(db, p.schema)).items()}
        return _Stored(rows, read, round(float(checked_s), 3), await tables.code(db, p))


def _held_against_the_log(settings: Settings, mesh: Mesh, stored: Mapping[str, _Stored]) -> dict[str, dict[str, Any]]:
    with reading.opened(settings) as client:
        return {name: _row(client, mesh.topics_of(mesh.projection(name)), s) for name, s in stored.items()}


def _row(client: Consumer, topics: list[str], stored: _Stored) -> dict[str, Any]:
    ends = reading.ends(client, reading.partitions_of(client, topics))
    read = {place: stored.read.get(place, 0) for place in ends}
    unread = {place: offset for place, offset in read.items() if offset < ends[place]}
    return {
        "rows": stored.rows,
        "position": sum(read.values()),
        "log_end": sum(ends.values()),
        "waiting_events": sum(ends[place] - offset for place, offset in unread.items()),
        "waiting_s": _age(reading.recorded(client, unread).values()),
        "checked_s": stored.checked_s if stored.read else None,
        "code": stored.code,
    }


def _age(moments: Iterable[datetime]) -> float:
    """Seconds since the first of these moments; 0 if there are none. The first records of a log have no time, and say 1970."""
    now = datetime.now(UTC)
    first = min((moment for moment in moments if moment.timestamp() > 0), default=now)
    return round(max((now - first).total_seconds(), 0.0), 3)


async def gather(settings: Settings, mesh: Mesh) -> dict[str, Any]:
    """Everything `weft status` shows; what cannot be reached is reported in place of its figures."""
    report: dict[str, Any] = {}
    try:
        mesh = await asyncio.to_thread(deployed, settings, mesh)
        report["contexts"] = await asyncio.to_thread(contexts, settings, mesh)
        report["circuits"] = await asyncio.to_thread(circuits, settings)
        report["stopped"] = await asyncio.to_thread(stopped, settings)
        report["effects"] = await asyncio.to_thread(effects, settings)
    except (Unusable, Unknown, KafkaException) as error:
        report["kafka_error"] = str(error)
        return report
    try:
        report["projections"] = await projections(settings, mesh)
    except (Unusable, Unknown, postgres.Refusal) as error:
        report["postgres_error"] = str(error)
    return report
