"""What a mesh is doing: services, members, and how far everything is behind the log."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.errors import Unknown, Unusable
from infra.kafka import reading, topics
from infra.kafka.topics import CIRCUITS_TOPIC
from infra.mesh import Mesh
from infra.ops.setup import deployed
from infra.read import postgres, tables
from infra.settings import Settings, address, as_role
from infra.write.circuits import current

TIMEOUT = 10.0


def contexts(settings: Settings, mesh: Mesh) -> dict[str, dict[str, Any]]:
    """For each context: members of its group, its state, commands not yet decided, dead letters."""
    with topics.admin(settings) as admin, reading.opened(settings) as client:
        return {c.name: _context(admin, client, c) for c in mesh.contexts.values()}


def _context(admin: AdminClient, client: Any, c: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"members": 0, "state": "absent", "waiting_commands": None, "dead_letters": None}
    try:
        described = admin.describe_consumer_groups([c.group], request_timeout=TIMEOUT)[c.group].result()
        found |= {"members": len(described.members), "state": described.state.name.lower()}
    except KafkaException:
        pass  # nobody has ever run it
    places = reading.partitions_of(client, [c.commands_topic])
    if not places:
        return found | {"state": "no topics"}
    ends = {place: client.get_watermark_offsets(TopicPartition(*place), timeout=TIMEOUT)[1] for place in places}
    committed = topics.committed(admin, c, places)
    dead = [
        client.get_watermark_offsets(TopicPartition(*place), timeout=TIMEOUT)
        for place in reading.partitions_of(client, [c.dead_topic])
    ]
    found["waiting_commands"] = sum(max(0, ends[place] - committed[place]) for place in places)
    found["dead_letters"] = sum(high - low for low, high in dead)
    return found


def circuits(settings: Settings) -> list[dict[str, Any]]:
    """The circuits to the outside that are not closed: context, target, state, since when, and whose."""
    with reading.opened(settings) as client:
        return current((r for batch in reading.read_whole(client, [CIRCUITS_TOPIC]) for r in batch), time.time())


async def projections(settings: Settings, mesh: Mesh) -> dict[str, dict[str, Any]]:
    """For each projection: rows, how far it has read its topics, and how far that is behind, in events and in seconds."""
    client = reading.consumer(address(settings, "kafka"))
    try:
        async with postgres.connection(postgres.analyst(address(settings, "postgres"))) as db:
            fresh = await db.fetch("SELECT * FROM analytics.freshness")
        found = {}
        for p in mesh.projections.values():
            places = await asyncio.to_thread(reading.partitions_of, client, mesh.topics_of(p))
            ends = await asyncio.to_thread(reading.ends, client, places)
            async with postgres.connection(as_role(address(settings, "postgres"), p.role)) as db:
                made_by = await tables.definition(db, p.schema)
                rows = await db.fetchval(f"SELECT count(*) FROM {p.schema}.{p.name}")
            cursor = {(r["topic"], r["partition"]): r for r in fresh if r["projection"] == p.name}
            read = {place: cursor[place]["position"] if place in cursor else 0 for place in places}
            late = [cursor[place]["recorded_at"] for place in cursor if read[place] < ends.get(place, 0)]
            now = datetime.now(UTC)
            found[p.name] = {
                "rows": rows,
                "position": sum(read.values()),
                "log_end": sum(ends.values()),
                "waiting_events": sum(ends.values()) - sum(read.values()),
                "waiting_s": round(max(((now - at).total_seconds() for at in late if at), default=0.0), 3),
                "checked_s": round(float(min((r["checked_s"] for r in cursor.values()), default=0)), 3)
                if cursor
                else None,
                "code": "same" if made_by == p.definition else "other: rebuild",
            }
        return found
    finally:
        await asyncio.to_thread(client.close)


async def gather(settings: Settings, mesh: Mesh) -> dict[str, Any]:
    """Everything `weft status` shows; what cannot be reached is reported in place of its figures."""
    found: dict[str, Any] = {}
    try:
        mesh = await asyncio.to_thread(deployed, settings, mesh)
        found["contexts"] = await asyncio.to_thread(contexts, settings, mesh)
        found["circuits"] = await asyncio.to_thread(circuits, settings)
    except (Unusable, Unknown, KafkaException) as error:
        found["kafka_error"] = str(error)
        return found
    try:
        found["projections"] = await projections(settings, mesh)
    except (Unusable, Unknown, postgres.Refusal) as error:
        found["postgres_error"] = str(error)
    return found
