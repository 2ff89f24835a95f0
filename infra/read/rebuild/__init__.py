"""Replays topics into a shadow of a projection, compares it with the live tables row by row, and swaps the two.

Readers see the live tables until one transaction puts the shadow in their place. The comparison is made as of one position of
the log: the shadow is brought exactly to where the live rows stand, in a snapshot of the database, while their projector goes
on. Then, with that projector held back for as long as it takes to read what it has read since, they change places.

Nothing is posted and no effect is run: of Kafka this only reads. Whatever was finished when it is interrupted is kept in the
shadow, and the next run goes on from there.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import asyncpg
from confluent_kafka import Consumer

from infra.errors import Stopped, Unusable
from infra.kafka import reading
from infra.kafka.reading import Place
from infra.mesh import Mesh
from infra.model.projection import Projection
from infra.read import postgres, tables
from infra.read.fold import Batch, Fold
from infra.read.rebuild import bulk, shadow
from infra.read.rebuild.compare import Differences, compare, traced
from infra.read.tables import Store
from infra.settings import Settings, address

CLOSE = 5_000  # records that may be left to read in one transaction
ROUNDS = 20  # of catching up, with a live projector that goes on
SWAP_ATTEMPTS = 20
Positions = dict[Place, int]


@dataclass(frozen=True)
class Stage:
    """What a rebuild needs of whoever runs it: a way to speak, to show progress, to be stopped, and an answer.

    `progress(what, done, total)` hears of records; `may_swap(projection, differences)` decides when something differs.
    """

    say: Callable[[str], None]
    progress: Callable[[str, int, int], None]
    stopping: Callable[[], bool]
    may_swap: Callable[[Projection, Differences], bool]
    processes: int = os.cpu_count() or 1


@dataclass(frozen=True)
class Rebuilt:
    """What came of one projection; `differences` is None if there was nothing to compare with."""

    projection: str
    rows: int
    records: int
    seconds: float
    differences: Differences | None
    swapped: bool


async def rebuild(settings: Settings, mesh: Mesh, projection: Projection, stage: Stage) -> Rebuilt:
    """Rebuild one projection from the log. Raises Stopped, Unusable, LogDamaged, Unknown; the live tables are whole whatever happens."""
    begun = time.monotonic()
    async with postgres.connection(address(settings, "postgres")) as db:
        with reading.opened(settings) as client:
            run = _Rebuild(settings, mesh, projection, stage, db, client)
            await run.prepare()
            if await shadow.is_stripped(db, projection, shadow.shadow(projection)):
                await run.load()
            await run.catch_up()
            differences = await run.compare()
            swapped = not differences or stage.may_swap(projection, differences)
            if swapped:
                await run.swap()
            schema = projection.schema if swapped else shadow.shadow(projection)
            rows = await db.fetchval(f"SELECT count(*) FROM {schema}.{projection.name}", timeout=postgres.LONG)
            records = sum(run.positions.values())
    return Rebuilt(projection.name, rows, records, time.monotonic() - begun, differences, swapped)


class _Rebuild:
    """One rebuild under way: a connection that nobody else uses, a consumer, and how far the shadow is."""

    def __init__(
        self,
        settings: Settings,
        mesh: Mesh,
        projection: Projection,
        stage: Stage,
        db: asyncpg.Connection,
        client: Consumer,
    ) -> None:
        self._settings = settings
        self._mesh = mesh
        self._projection = projection
        self._stage = stage
        self._db = db
        self._client = client
        self._fold = Fold(projection, mesh.codec)
        self._store = Store(db, projection, shadow.shadow(projection))
        self.positions: Positions = {}
        self._topic_ids: dict[str, str] = {}

    async def prepare(self) -> None:
        """A shadow of this log, new or begun by an earlier run."""
        name, db = self._projection.name, self._db
        if not await db.fetchval("SELECT pg_try_advisory_lock(hashtext($1))", f"weft rebuild {name}"):
            raise Unusable(f"{name} is being rebuilt by somebody else; wait for that, or stop it")
        if await tables.definition(db, self._projection.schema) is None:
            raise Unusable(f"there are no tables of {name}: run `weft setup` first")
        topics = self._mesh.topics_of(self._projection)
        self._topic_ids = reading.topic_ids(address(self._settings, "kafka"), topics)
        if await shadow.begin(db, self._projection):
            if await self._is_of_this_log(self._store.schema):
                self._stage.say(f"{name}: going on with what an earlier run has done")
            else:
                await db.execute(f"DROP SCHEMA {self._store.schema} CASCADE")
                await shadow.begin(db, self._projection)

    async def load(self) -> None:
        """Fold the log up to where the live rows stand, several parts at a time, then add what COPY went without."""
        name, db = self._projection.name, self._db
        done = await tables.position(db, self._store.schema)
        wanted = {place: end for place, end in (await self._target()).items() if place not in done}
        parts = bulk.parts(self._projection, self._store.schema, wanted, self._topic_ids)
        await asyncio.to_thread(
            bulk.load_all,
            self._settings,
            self._mesh,
            parts,
            self._stage.processes,
            lambda done, total: self._stage.progress(name, done, total),
            self._stage.stopping,
        )
        self._stage.say(f"{name}: adding indexes")
        try:
            await shadow.furnish(db, self._projection, self._store.schema)
        except asyncpg.UniqueViolationError as error:
            await db.execute(f"DROP SCHEMA {self._store.schema} CASCADE")
            raise Unusable(
                f"{name}: events of different keys made one row ({error.detail}); its rows have to be made of one key's events each"
            ) from error

    async def catch_up(self) -> None:
        """Bring the shadow near to where the live rows are now."""
        self.positions = {place: offset for place, (_, offset) in (await self._store.load()).items()}
        for _ in range(ROUNDS):
            target = await self._target()
            left = sum(max(0, end - self.positions.get(place, 0)) for place, end in target.items())
            if left <= CLOSE:
                return
            self._stage.say(f"{self._projection.name}: catching up with {left} records")
            for batch in self._batches(target):
                await self._store.commit(self._fold, batch, self._topic_ids, target)
                self.positions |= batch.positions

    async def compare(self) -> Differences | None:
        """Differences from the live rows at exactly their position, with the events that made them; None if there are none to compare with."""
        db, live = self._db, self._projection.schema
        target = await self._target()
        if not await self._is_comparable() or any(self.positions.get(place, 0) > end for place, end in target.items()):
            return None
        async with db.transaction(isolation="repeatable_read"):
            await self._advance()
            differences = await compare(db, self._projection, live, self._store.schema)
        if not differences.samples:
            return differences
        self._stage.say(f"{self._projection.name}: looking for the events behind the rows that differ")
        whole = reading.read_all(self._client, {}, self.positions)
        return replace(differences, samples=traced(self._projection, self._mesh.codec, differences.samples, whole))

    async def swap(self) -> None:
        """Put the shadow where the live tables are; waits for readers that hold a view, without making others wait long."""
        for attempt in range(SWAP_ATTEMPTS):
            before = dict(self.positions), self._store.version
            try:
                async with self._db.transaction():
                    await self._db.execute(f"SET LOCAL lock_timeout = '{shadow.LOCK_WAIT}'")
                    version = await shadow.take_over(self._db, self._projection)
                    await self._advance()
                    await shadow.swap(self._db, self._mesh, self._projection, version + 1)
                return
            except asyncpg.LockNotAvailableError:
                self.positions, self._store.version = before
                self._stage.say(f"{self._projection.name}: somebody reads it in a long query; trying again")
                await asyncio.sleep(0.2 * (attempt + 1))
                self._stop_if_asked()
        raise Unusable(
            f"{self._projection.name} was never let go of by its readers; the shadow is kept, try again later"
        )

    async def _advance(self) -> None:
        """Bring the shadow to where the live rows are, inside a transaction."""
        target = await self._target()
        for batch in self._batches(target):
            await self._store.apply(self._fold, batch, self._topic_ids, target)
            self._store.version += 1
            self.positions |= batch.positions

    def _batches(self, target: Positions) -> Iterator[Batch]:
        start = {place: self.positions.get(place, 0) for place in target}
        for records, positions in reading.read_to(self._client, start, target, self._fold.unwanted):
            self._stop_if_asked()
            yield self._fold.batch(records, positions)

    async def _target(self) -> Positions:
        """How far the live rows are; to the end of the log if they are of nothing yet, or of another one."""
        places = reading.partitions_of(self._client, list(self._topic_ids))
        if not await self._is_comparable():
            return reading.ends(self._client, places)
        live = await tables.position(self._db, self._projection.schema)
        target = {place: live.get(place, ("", 0))[1] for place in places}
        reading.ends(self._client, places, target)
        return target

    async def _is_comparable(self) -> bool:
        live = self._projection.schema
        return bool(await tables.position(self._db, live)) and await self._is_of_this_log(live)

    async def _is_of_this_log(self, schema: str) -> bool:
        positions = await tables.position(self._db, schema)
        return all(self._topic_ids.get(topic) == topic_id for (topic, _), (topic_id, _) in positions.items())

    def _stop_if_asked(self) -> None:
        if self._stage.stopping():
            raise Stopped(f"{self._projection.name}: stopped; the same command goes on where it was")


async def roll_back(settings: Settings, mesh: Mesh, projection: Projection) -> None:
    """Call the former tables back. Their projector goes on from where they stand, if it is of the code that made them."""
    async with postgres.connection(address(settings, "postgres")) as db:
        for _ in range(SWAP_ATTEMPTS):
            with suppress(asyncpg.LockNotAvailableError):
                async with db.transaction():
                    await db.execute(f"SET LOCAL lock_timeout = '{shadow.LOCK_WAIT}'")
                    await shadow.roll_back(db, mesh, projection)
                return
    raise Unusable(f"{projection.name} was never let go of by its readers; try again later")


async def drop_former(settings: Settings, names: Mapping[str, Projection]) -> list[str]:
    """Drop the tables that rebuilds have left behind; returns the projections that had some."""
    async with postgres.connection(address(settings, "postgres")) as db:
        return await shadow.drop_former(db, list(names.values()))
