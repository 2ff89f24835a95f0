"""What an owner does about its command topics: it looks at them when it takes over a partition, and all the time after.

Of a topic that is not the one its log was decided from, nothing more is decided, until the log says where to go on: that
is somebody's word (`weft topics accept`), a record like any other. Nothing but that way into that partition stands still.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from infra.errors import Unknown
from infra.kafka.inbound import Found, Trouble, trouble
from infra.kafka.log import until_known
from infra.messages import Resumed
from infra.model.context import Context
from infra.wire.envelope import Way
from infra.wire.inbound import CUT, Inlet, deletable, resumption
from infra.wire.inbox import MAX_CLOCK_SKEW_MS
from infra.wire.record import Outgoing, Record
from infra.write.aggregates import Aggregates
from infra.write.lanes import Lanes, Place
from infra.write.writer import Writer

_log = structlog.get_logger()

WATCH_SECONDS = 5.0
SWEEP_SECONDS = 600.0


class CommandTopics(Protocol):
    """Kafka's command topics. Every method raises Unknown when Kafka did not answer, or will not do it."""

    async def look(self, places: Collection[Place], at: Mapping[Place, int]) -> dict[Place, Found]:
        """What these places are now, those that are gone left out; of those in `at` also the record at that offset."""
        ...

    async def first_since(self, places: Collection[Place], at_ms: int) -> dict[Place, int]:
        """Of each place the first offset whose record is not older than that; its end if all are."""
        ...

    async def delete_before(self, offsets: Mapping[Place, int]) -> None:
        """Delete the records in front of these offsets."""
        ...


class Watch:
    """`keep_ms` is how long a decided command stays for those who look.

    `reread` has a place read from its cursor again, `resumed` hears of a place that goes on, `tell` publishes what stands still.
    """

    def __init__(
        self,
        context: Context,
        topics: CommandTopics,
        keep_ms: int,
        lanes: Lanes,
        reread: Callable[[Place], Awaitable[None]],
        resumed: Callable[[Place], None],
        tell: Callable[[Sequence[Outgoing]], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self.standing: dict[Place, Trouble] = {}
        self._context = context
        self._ways = {context.commands_topic: Way.COMMANDS, context.own_topic: Way.OWN}
        self._topics = topics
        self._keep_ms = keep_ms
        self._lanes = lanes
        self._reread = reread
        self._resumed = resumed
        self._tell = tell
        self._now = now
        self._since: dict[Place, float] = {}  # what stands still, or stood
        self._seen: dict[Place, Found] = {}
        self._known: dict[Place, Inlet] = {}  # what was decided when it was seen
        self._owned: dict[int, Writer] = {}
        self._looking: asyncio.Task[None] | None = None

    async def let_go(self) -> None:
        """Partitions are taken away: nothing is judged any more of what was found before."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def take_over(self, writers: Mapping[int, Writer]) -> None:
        """Before anything of these partitions is decided: what cannot be decided stands still, the rest is named in the log."""
        await self.let_go()
        self._owned = dict(writers)
        self._seen, self._known = {}, {}
        before, self.standing = self.standing, {}
        inlets = self._inlets()
        found: dict[Place, Found] = {}

        async def look() -> None:
            try:
                found.update(await self._topics.look(list(inlets), _last(inlets)))
            except Unknown as error:
                _log.warning("command topics unreachable", context=self._context.name, error=str(error))
                raise

        if inlets:
            await until_known(look)
        for place, inlet in inlets.items():
            if wrong := trouble(place, inlet, found.get(place)):
                self._stop(wrong, is_new=place not in before)
            else:
                self._seen[place], self._known[place] = found[place], inlet
        await asyncio.gather(*(self._name(place, found[place].topic_id, found[place].low) for place in self._seen))
        self._say(inlets)

    async def run(self) -> None:
        """Look again every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self._looking = asyncio.create_task(self.look())
            await asyncio.wait([self._looking])
            if not self._looking.cancelled() and (error := self._looking.exception()):
                if not isinstance(error, Unknown):
                    raise error
                _log.warning("command topics unreachable", context=self._context.name, error=str(error))

    async def sweep_up(self) -> None:
        """Now and then delete what is decided and nobody looks at any more, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except Unknown as error:
                _log.warning(
                    "decided commands not deleted",
                    context=self._context.name,
                    error=str(error),
                    next="its principal needs DELETE on its command topics",
                )

    async def sweep(self) -> None:
        """Delete commands behind the cursor, where nothing is wrong, and have the log say where that is."""
        await asyncio.gather(*map(self._say_passed, list(self._seen)))
        inlets = {place: inlet for place, inlet in self._inlets().items() if place in self._seen}
        kept_from = await self._topics.first_since(list(inlets), int(1000 * self._now()) - self._keep_ms)
        lows = {place: self._seen[place].low for place in inlets if place in self._seen}
        offsets = {p: deletable(inlets[p], lows[p], kept_from[p]) for p in lows.keys() & kept_from.keys()}
        if wanted := {place: offset for place, offset in offsets.items() if offset is not None}:
            await self._topics.delete_before(wanted)
            _log.info(
                "decided commands deleted",
                context=self._context.name,
                before={f"{t}/{n}": o for (t, n), o in wanted.items()},
            )

    async def look(self) -> None:
        """Hold what Kafka says now against what was decided before it was asked."""
        inlets = self._inlets()
        if not inlets:
            return
        found = await self._topics.look(list(inlets), {})
        doubtful = {p: inlet for p, inlet in inlets.items() if self._is_doubtful(p, found.get(p))}
        if doubtful:
            found |= await self._topics.look(list(doubtful), _last(doubtful))
        for place, inlet in inlets.items():
            wrong = trouble(place, inlet, found.get(place))
            if not wrong and place in doubtful and (known := self._known.get(place)) and known.decided:
                # what came in its place may have been decided since: what was decided before has to be there too
                before = (await self._topics.look([place], _last({place: known}))).get(place)
                wrong = trouble(place, known, before)
                if wrong and before is not None:
                    await self._name(place, before.topic_id + CUT, instead_of=before.topic_id)
            await self._judge(place, inlet, found.get(place), wrong, place in doubtful)
        self._say(self.standing)  # again, since an owner of before may have said otherwise later

    def _is_doubtful(self, place: Place, found: Found | None) -> bool:
        """Whether it may have been cut since it was seen: then what was decided last has to be looked at."""
        seen = self._seen.get(place)
        return found is not None and (seen is None or found.epoch != seen.epoch or found.end < seen.end)

    async def _judge(
        self, place: Place, inlet: Inlet, found: Found | None, wrong: Trouble | None, doubtful: bool
    ) -> None:
        if wrong or found is None:
            self._seen.pop(place, None)
            self._known.pop(place, None)
            if wrong and place not in self.standing:
                self._stop(wrong)
                await self._lanes.shut(place)
            return
        seen, self._seen[place], self._known[place] = self._seen.get(place), found, inlet
        if seen is not None and found.end < seen.end:
            _log.error(
                "commands lost", context=self._context.name, topic=place[0], partition=place[1], **_lost(seen, found)
            )
        if place in self.standing:
            await self._go_on(place, found)
        elif doubtful and seen is not None:
            await self._lanes.shut(place)  # what was fetched may be gone, and others stand there
            await self._reread(place)
            self._lanes.let_in(place)

    async def _go_on(self, place: Place, found: Found) -> None:
        await self._name(place, found.topic_id)
        await self._reread(place)
        del self.standing[place]
        self._lanes.let_in(place)
        self._resumed(place)
        self._say([place])
        _log.info("goes on", context=self._context.name, topic=place[0], partition=place[1])

    def _stop(self, wrong: Trouble, *, is_new: bool = True) -> None:
        topic, partition = wrong.place
        self.standing[wrong.place] = wrong
        if is_new:
            self._since[wrong.place] = self._now()
            self._say([wrong.place])
            _log.error(
                "stopped",
                context=self._context.name,
                topic=topic,
                partition=partition,
                reason=str(wrong),
                next=f"weft topics accept {self._context.name} {partition}",
            )

    def _say(self, places: Iterable[Place]) -> None:
        told = [(place, self.standing.get(place), self._since.get(place, 0)) for place in places]
        self._tell([stopped_record(self._context.name, *one) for one in told])

    def _inlets(self) -> dict[Place, Inlet]:
        return {
            (topic, number): writer.aggregates.inbound.inlet(way)
            for number, writer in self._owned.items()
            for topic, way in self._ways.items()
        }

    async def _name(self, place: Place, named: str, low: int = 0, instead_of: str = "") -> None:
        """Have the log say which topic this way's commands come from, if it does not yet; or say it otherwise.

        `low` is where that begins: commands of before there were names expired, decided or not.
        """
        topic, number = place
        way = self._ways[topic]

        def make(aggregates: Aggregates) -> list[Outgoing]:
            topic_id, cursor, _ = aggregates.inbound.inlet(way)
            if topic_id != instead_of:
                return []
            if aggregates.next_offset:
                _log.info("command topic named", topic=topic, partition=number, id=named, cursor=cursor)
            if cursor < low:
                _log.warning("commands expired", topic=topic, partition=number, cursor=cursor, begins=low)
                cursor = low
            event = Resumed(topic_id=named, cursor=cursor, reason="")
            events = (aggregates.context.events_topic, number)
            offset, at = aggregates.next_offset, aggregates.timestamp or int(1000 * self._now()) - MAX_CLOCK_SKEW_MS
            return [resumption(aggregates.codec, aggregates.context.name, events, way, event, offset, at)]

        await self._owned[number].note(make)

    async def _say_passed(self, place: Place) -> None:
        """Have the log say what was passed by: commands that changed nothing leave no event there, and who does not know of
        them reads them again at the next start, also when their ids are forgotten.
        """
        topic, number = place
        way = self._ways[topic]

        def make(aggregates: Aggregates) -> list[Outgoing]:
            inbound = aggregates.inbound
            topic_id, cursor, _ = inbound.inlet(way)
            if place not in self._seen or inbound.passed[way] <= cursor:
                return []
            event = Resumed(topic_id=topic_id, cursor=inbound.passed[way], reason="")
            events = (aggregates.context.events_topic, number)
            return [
                resumption(
                    aggregates.codec,
                    aggregates.context.name,
                    events,
                    way,
                    event,
                    aggregates.next_offset,
                    aggregates.timestamp,
                )
            ]

        await self._owned[number].note(make)


def _last(inlets: Mapping[Place, Inlet]) -> dict[Place, int]:
    return {place: inlet.decided.offset for place, inlet in inlets.items() if inlet.decided}


def _lost(seen: Found, found: Found) -> dict[str, int]:
    return {"offset": found.end, "end": seen.end}


def stopped_record(context: str, place: Place, wrong: Trouble | None, since: float) -> Outgoing:
    """What is published of a place: why it stands still, or nothing if it does not."""
    topic, partition = place
    key = f"{topic}/{partition}".encode()
    if wrong is None:
        return Outgoing(key, None, [])
    said = {
        "context": context,
        "topic": topic,
        "partition": partition,
        "loss": wrong.loss.name.lower(),
        "reason": str(wrong),
        "since": since,
    }
    return Outgoing(key, json.dumps(said).encode(), [])


def standing_still(records: Collection[Record]) -> list[dict[str, Any]]:
    """What stands still, of what there is of `weft.stopped`."""
    latest = {record.key: record.value for record in records}
    return [json.loads(value) for value in latest.values() if value]
