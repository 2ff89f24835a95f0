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
from infra.kafka.inbound import Found, Loss, Seen, Trouble, Unanswered, trouble
from infra.kafka.log import until_known
from infra.kafka.marks import Settled
from infra.messages import Resumed
from infra.model.context import Context
from infra.wire.envelope import Way
from infra.wire.inbound import CUT, Inlet, deletable, resumption
from infra.wire.record import Outgoing, Record
from infra.write.aggregates import Aggregates
from infra.write.lanes import Lanes, Place
from infra.write.writer import Writer

_log = structlog.get_logger()

WATCH_SECONDS = 5.0
AGAIN_SECONDS = 0.5  # until what did not answer when it was taken over is asked again
SWEEP_SECONDS = 600.0


class CommandTopics(Protocol):
    """Kafka's command topics. Every method raises Unknown when Kafka did not answer, or will not do it."""

    async def look(self, places: Collection[Place], at: Mapping[Place, int]) -> dict[Place, Seen]:
        """What these places are now, those whose topic is gone left out; of those in `at` also the record at that offset."""
        ...

    async def first_since(self, places: Collection[Place], at_ms: int) -> dict[Place, int]:
        """Of each place the first offset whose record is not older than that; its end if all are."""
        ...

    async def settled(self, place: Place, start: int, end: int) -> Settled:
        """Which records from `start` up to `end` are aborted, as far as transactions there have ended."""
        ...

    async def delete_before(self, offsets: Mapping[Place, int], topic_ids: Mapping[str, str]) -> None:
        """Delete the records in front of these offsets, where the topics have these ids still."""
        ...


class Watch:
    """`partitions` is how many its log has, `keep_ms` how long a decided command stays for those who look.

    `reread` has a place read from its cursor again, `resumed` hears of a place that goes on, `tell` publishes what stands still.
    """

    def __init__(
        self,
        context: Context,
        partitions: int,
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
        self._partitions = partitions
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
        found: dict[Place, Seen] = {}

        async def look() -> None:
            try:
                found.update(await self._topics.look(list(inlets), _last(inlets)))
            except Unknown as error:
                _log.warning("command topics unreachable", context=self._context.name, error=str(error))
                raise

        if inlets:
            await until_known(look)
        for place, inlet in inlets.items():
            there = found.get(place)
            if wrong := trouble(place, inlet, there, self._partitions):
                self._stop(wrong, before.get(place))
            elif isinstance(there, Found):
                self._seen[place] = there
        await asyncio.gather(*(self._name(place, seen.topic_id, seen.low) for place, seen in self._seen.items()))
        for place in self._seen:
            self._known[place] = self._inlet(place)
            self._read(place)
        self._say(inlets)

    async def run(self) -> None:
        """Look again every few seconds, until cancelled."""
        while True:
            is_unanswered = any(wrong.loss is Loss.UNANSWERED for wrong in self.standing.values())
            await asyncio.sleep(AGAIN_SECONDS if is_unanswered else WATCH_SECONDS)
            self._looking = asyncio.create_task(self.look())
            try:
                await asyncio.wait([self._looking])
            except asyncio.CancelledError:
                self._looking.cancel()
                raise
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
                _log.warning("decided commands not deleted", context=self._context.name, error=str(error))

    async def sweep(self) -> None:
        """Delete commands behind the cursor, where nothing is wrong, and have the log say where that is."""
        await asyncio.gather(*map(self._say_passed, list(self._seen)))
        seen, inlets = dict(self._seen), self._inlets()
        sure = [place for place in seen if place in inlets and inlets[place].topic_id == seen[place].topic_id]
        kept_from = await self._topics.first_since(sure, max(0, int(1000 * self._now()) - self._keep_ms))
        places = [place for place in sure if place in kept_from and place in self._seen]
        offsets = {p: deletable(inlets[p], seen[p].low, kept_from[p]) for p in places}
        if wanted := {place: offset for place, offset in offsets.items() if offset is not None}:
            await self._topics.delete_before(wanted, {place[0]: seen[place].topic_id for place in wanted})
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
            try:
                await self._hold(place, inlet, found.get(place), place in doubtful)
            except Unknown as error:
                _log.warning("command topic unanswered", context=self._context.name, topic=place[0], error=str(error))
        self._say(self.standing)  # again, since an owner of before may have said otherwise later

    def _is_doubtful(self, place: Place, found: Seen | None) -> bool:
        """Whether it may have been cut since it was seen, or be another: then what was decided last has to be looked at."""
        seen = self._seen.get(place)
        if not isinstance(found, Found):
            return False
        return seen is None or (found.topic_id, found.epoch) != (seen.topic_id, seen.epoch) or found.end < seen.end

    async def _hold(self, place: Place, inlet: Inlet, found: Seen | None, is_doubtful: bool) -> None:
        """Hold one place against what was decided of it. Unknown if nobody can say: then it stays what it was until the next look."""
        if isinstance(found, Unanswered):
            raise Unknown(found.says)
        wrong = trouble(place, inlet, found, self._partitions)
        if not wrong and found is not None and is_doubtful and await self._was_cut(place, inlet, found):
            # the log keeps it: who comes next has not seen what this owner saw
            await self._name(place, found.topic_id + CUT, instead_of=found.topic_id)
            wrong = trouble(place, self._inlet(place), found, self._partitions)
        await self._judge(place, inlet, found, wrong, is_doubtful)

    async def _was_cut(self, place: Place, inlet: Inlet, found: Found) -> bool:
        """Whether it has lost what its owner saw there, though what was decided last is where it stood."""
        seen, known = self._seen.get(place), self._known.get(place)
        if seen is None or known is None or seen.topic_id != found.topic_id or known.topic_id != inlet.topic_id:
            return False  # of this topic nothing was seen
        if found.end < seen.end:
            _log.error(
                "commands lost",
                context=self._context.name,
                topic=place[0],
                partition=place[1],
                offset=found.end,
                end=seen.end,
            )
            return True
        if known.decided is None:
            return False
        # what came in its place may have been decided since: what was decided before has to be there too
        before = (await self._topics.look([place], _last({place: known}))).get(place)
        if not isinstance(before, Found) or before.topic_id != found.topic_id:
            raise Unknown("it changes while it is looked at")
        wrong = trouble(place, known, before)
        return wrong is not None and wrong.loss is Loss.CUT

    async def _judge(
        self, place: Place, inlet: Inlet, found: Found | None, wrong: Trouble | None, is_doubtful: bool
    ) -> None:
        if wrong or found is None:
            self._seen.pop(place, None)
            self._known.pop(place, None)
            if wrong:
                before = self.standing.get(place)
                self._stop(wrong, before)
                if before is None:
                    await self._lanes.shut(place)
            return
        seen, self._seen[place], self._known[place] = self._seen.get(place), found, inlet
        if place in self.standing:
            await self._go_on(place, found)
        elif is_doubtful and seen is not None:
            await self._lanes.shut(place)  # what was fetched may be gone, and others stand there
            await self._let_in(place)

    async def _go_on(self, place: Place, found: Found) -> None:
        await self._name(place, found.topic_id)
        del self.standing[place]
        await self._let_in(place)
        self._say([place])
        _log.info("goes on", context=self._context.name, topic=place[0], partition=place[1])

    async def _let_in(self, place: Place) -> None:
        """Go on with a place from its cursor; what was asked there may be lost, and is asked again by who can."""
        self._read(place)
        await self._reread(place)
        self._lanes.let_in(place)
        self._resumed(place)

    def _read(self, place: Place) -> None:
        """What comes of a place from now on is of the topic that its log names now."""
        if writer := self._owned.get(place[1]):
            writer.read_from(self._ways[place[0]], self._inlet(place).topic_id)

    def _stop(self, wrong: Trouble, before: Trouble | None) -> None:
        """A place stands still; `before` is why it did already."""
        topic, partition = wrong.place
        self.standing[wrong.place] = wrong
        if before is None:
            self._since[wrong.place] = self._now()
        if before is None or before.loss is not wrong.loss:
            self._say([wrong.place])
            log = _log.warning if wrong.loss is Loss.UNANSWERED else _log.error
            log(
                "stopped",
                context=self._context.name,
                topic=topic,
                partition=partition,
                reason=str(wrong),
                next=wrong.next(self._context.name),
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

    def _inlet(self, place: Place) -> Inlet:
        return self._owned[place[1]].aggregates.inbound.inlet(self._ways[place[0]])

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
            return [_resumed(aggregates, way, named, cursor)]

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
            return [_resumed(aggregates, way, topic_id, inbound.passed[way])]

        await self._owned[number].note(make)


def _resumed(aggregates: Aggregates, way: Way, topic_id: str, cursor: int) -> Outgoing:
    """What says that reading goes on there, at the end of what is known of the log."""
    event = Resumed(topic_id=topic_id, cursor=cursor, reason="")
    events = (aggregates.context.events_topic, aggregates.number)
    # no clock of ours: what comes later may not be recorded before it, and Kafka takes nothing from tomorrow
    offset, at = aggregates.next_offset, aggregates.timestamp
    return resumption(aggregates.codec, aggregates.context.name, events, way, event, offset, at)


def _last(inlets: Mapping[Place, Inlet]) -> dict[Place, int]:
    return {place: inlet.decided.offset for place, inlet in inlets.items() if inlet.decided}


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
        "next": wrong.next(context),
        "since": since,
    }
    return Outgoing(key, json.dumps(said).encode(), [])


def standing_still(records: Collection[Record]) -> list[dict[str, Any]]:
    """What stands still, of what there is of `weft.stopped`."""
    latest = {record.key: record.value for record in records}
    return [json.loads(value) for value in latest.values() if value]
