"""Keeps one projection up with the log: a batch is folded in memory and written in one transaction with its cursor.

While Postgres writes one batch, the next is fetched and decoded.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from random import uniform

import structlog
from confluent_kafka import Consumer

from infra.errors import Fenced, LogDamaged, OfNewerCode, OfOtherCode, Unknown, Unusable
from infra.kafka import reading
from infra.kafka.reading import Place
from infra.mesh import Mesh
from infra.model.projection import Projection
from infra.read import analysts, postgres
from infra.read.fold import Batch, Fold
from infra.read.tables import Store
from infra.settings import Settings, address, as_role

_log = structlog.get_logger()
BATCH = 10_000
WAIT_S = 0.5  # for the first record of a batch
CHECKED_EVERY_S = 5.0  # what an idle projector says of itself


async def run(mesh: Mesh, projection: Projection, settings: Settings) -> None:
    """Project until cancelled; waits out Kafka and Postgres, and stops with an error when the log is not what it was.

    OfNewerCode and Unwritable name the event that it cannot get past.
    """
    delay = 0.2
    while True:
        try:
            await _session(mesh, projection, settings)
        except OfNewerCode:
            raise
        except Fenced:
            _log.info("another projector is at work, standing by", projection=projection.name)
            await asyncio.sleep(uniform(1.0, 3.0))
            delay = 0.2
        except (Unknown, Unusable, *postgres.TROUBLE) as error:
            _log.warning("projector waits", projection=projection.name, error=str(error) or repr(error))
            await asyncio.sleep(delay * uniform(0.5, 1.5))
            delay = min(delay * 2, 5.0)


async def _session(mesh: Mesh, projection: Projection, settings: Settings) -> None:
    servers = address(settings, "kafka")
    client = reading.consumer(servers)
    try:
        async with postgres.connection(as_role(address(settings, "postgres"), projection.role)) as db:
            store, fold = Store(db, projection), Fold(projection, mesh.codec)
            cursor, topics = await _loaded(store), mesh.topics_of(projection)
            positions, topic_ids = await asyncio.to_thread(start, client, servers, projection, topics, cursor)
            reading.assign(client, positions)
            _log.info("projecting", projection=projection.name, partitions=len(positions))
            await follow(client, store, fold, topic_ids, partial(_end_overdue, db))
    finally:
        await asyncio.to_thread(client.close)


async def _loaded(store: Store) -> dict[Place, tuple[str, int]]:
    try:
        return await store.load()
    except OfOtherCode:
        await store.wait()
        raise


def start(
    client: Consumer,
    servers: str,
    projection: Projection,
    topics: list[str],
    cursor: Mapping[Place, tuple[str, int]],
) -> tuple[dict[Place, int], dict[str, str]]:
    """Where each partition is to be read on from, and the ids of the topics; LogDamaged if the log is not what was read."""
    topic_ids = reading.topic_ids(servers, topics)
    for (topic, partition), (topic_id, _) in cursor.items():
        if topic not in topic_ids:
            raise Unusable(
                f"{projection.name} has read {topic}, and what it reads now is in {', '.join(topics)}: finish `weft topics grow`, or run `weft rebuild {projection.name}`"
            )
        if topic_ids.get(topic, topic_id) != topic_id:
            raise LogDamaged(
                f"{topic} is another topic than the one {projection.name} has read (partition {partition}): rebuild the projection from it"
            )
    positions = {place: cursor.get(place, ("", 0))[1] for place in reading.partitions_of(client, topics)}
    reading.ends(client, list(positions), positions)
    return positions, topic_ids


async def _end_overdue(db: postgres.Connection) -> None:
    try:
        if ended := await analysts.end_overdue(db):
            _log.warning("sessions of analysts ended that took too long", count=ended)
    except postgres.Refusal as error:
        _log.warning("nobody ends what analysts ask without an end: run `weft setup`", error=str(error))


async def follow(
    client: Consumer,
    store: Store,
    fold: Fold,
    topic_ids: Mapping[str, str],
    attend: Callable[[], Awaitable[None]],
) -> None:
    """Project what comes, from where the client was assigned to, until cancelled; and `attend` to something now and then."""

    def ahead() -> asyncio.Task[tuple[Batch, dict[Place, int]]]:
        return asyncio.create_task(asyncio.to_thread(read_batch, client, fold))

    reading_ahead, checked, attended = ahead(), time.monotonic(), 0.0
    at: dict[Place, int] = {}
    try:
        while True:
            batch, ends = await asyncio.shield(reading_ahead)
            reading_ahead = ahead()
            if any(at.get(place) != position for place, position in batch.positions.items()):
                await store.commit(fold, batch, topic_ids, ends)
                at |= batch.positions
                checked = time.monotonic()
            elif time.monotonic() - checked > CHECKED_EVERY_S:
                await store.still_there()
                checked = time.monotonic()
            if time.monotonic() - attended > CHECKED_EVERY_S:
                await attend()
                attended = time.monotonic()
    finally:
        await asyncio.wait([reading_ahead])  # the thread has to be out of the client before that is closed


def read_batch(client: Consumer, fold: Fold) -> tuple[Batch, dict[Place, int]]:
    """What comes next, decoded, and where the log ends; nothing if nothing comes in time."""
    records, positions = reading.poll(client, BATCH, WAIT_S, fold.unwanted)
    return fold.batch(records, positions), reading.known_ends(client, positions)
