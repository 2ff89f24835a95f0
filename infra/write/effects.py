"""Runs what states want of the outside, and brings the outcome back as a command.

Intents come from folded state, never from a cursor: after a recovery, what is still open is simply run again, with the
same key. It is performed until there is an outcome, and only then is that posted, until it is in its topic: a Kafka that is
away makes nobody ask the outside again.

An outcome that is not known is no outcome: it is asked for again, with growing pauses. So is whatever an adapter raises that
nobody planned for: it is a failed attempt of that one intent, and says nothing about the target, so it opens no circuit. What
is still open after a day is parked: nobody tries it by itself any more, and a person has to look (`weft effects`).

An open intent is an entry in its target's queue. Each target has a circuit breaker and AT_ONCE attempts of its own, so that
one that is down holds up nothing else.
"""

import asyncio
import heapq
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import random
from typing import Any

import structlog

from infra.errors import Undeliverable, Unknown
from infra.kafka.log import CommandSink, addressed
from infra.model.context import Attempt, Context, Perform
from infra.wire.avro import Codec
from infra.wire.envelope import OUTCOME_OF, Cause
from infra.wire.limits import MAX_POSTED_BYTES
from infra.wire.record import Outgoing
from infra.write.aggregates import kinds_of
from infra.write.circuits import Circuit, Circuits
from infra.write.intents import PENDING, Intent, subject_of
from infra.write.reactions import outgoing_command
from infra.write.tries import is_parked

_log = structlog.get_logger()

AT_ONCE = 32  # attempts of a target
ATTEMPT_TIMEOUT_S = 120.0  # an adapter has its own; one that never ends holds a place of its target for ever
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 300.0
LONGEST_POSTING_PAUSE_S = 10.0
LETTING_GO_S = 10.0
SLOW_S, LATE_S = 0.5, 2.0  # an outside that takes longer, and a place in its queue, that nobody is held up for
MAX_SAID = 200  # characters of what an attempt said
MAX_PART = 300

Asked = Mapping[str, int]  # when (ms) somebody asked for an intent to be tried again, by its key


class Outbox:
    """Posts commands of many senders together: while one append is on its way, the next ones gather."""

    def __init__(self, sink: CommandSink, topic: str, partitions: int) -> None:
        self._sink = sink
        self._topic = topic
        self._partitions = partitions
        self._waiting: list[tuple[Outgoing, asyncio.Future[None]]] = []
        self._posting: asyncio.Task[None] | None = None

    async def post(self, record: Outgoing) -> None:
        """Returns once the record is in its topic; raises Unknown."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((record, done))
        if self._posting is None or self._posting.done():
            self._posting = asyncio.create_task(self._post_all())
        await done

    async def _post_all(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting, []
            error: Exception | None = None
            try:
                await self._sink.send(self._topic, addressed([record for record, _ in taken], self._partitions))
            except Exception as e:
                error = e
            for _, done in taken:
                if not done.done():
                    done.set_exception(error) if error else done.set_result(None)


class _PartUnknown(Unknown):
    """A part of the target did not answer, or is not asked: that says nothing about the target."""


class Misdirected(Exception):
    """An outcome that is no command for the aggregate that wanted it, or that no topic takes."""


def outcome_of(context: Context, codec: Codec, intent: Intent, outcome: Any, how: str) -> Outgoing:
    """What answers an intent, as a record of the context's own topic. Misdirected if it answers nothing, or is too large."""
    kind = next((kind for kind in kinds_of(context) if type(outcome) in kind.commands), None)
    if kind is None or kind.prefix + subject_of(outcome).encode() + PENDING != intent.place:
        raise Misdirected("an outcome is a command for the aggregate that wanted it")
    cause = Cause(intent.correlation, intent.key, intent.at)
    record = outgoing_command(codec, outcome, f"{intent.key}/{how}", cause, (OUTCOME_OF, intent.key.encode()))
    if record.size() > MAX_POSTED_BYTES:
        raise Misdirected(f"an outcome of {record.size()} bytes; the limit is {MAX_POSTED_BYTES}")
    return record


@dataclass(slots=True)
class Work:
    """An intent at hand; `since` when, by the event loop's time, it could be tried."""

    intent: Intent
    since: float
    tries: int = 0
    said: str = ""  # by the last attempt that failed
    is_let_go: bool = False


@dataclass(slots=True)
class Target:
    """What is wanted of one target here: what may be tried, what has a pause (until when, in order), and what is tried."""

    name: str
    ready: deque[Work] = field(default_factory=deque)
    paused: list[tuple[float, int, Work]] = field(default_factory=list)
    running: dict[str, asyncio.Task[str | None]] = field(default_factory=dict)
    wake: asyncio.TimerHandle | None = None
    took: float = 0.0  # seconds, smoothed

    @property
    def is_idle(self) -> bool:
        return not (self.ready or self.paused or self.running)


class EffectRunner:
    """Intents of the partitions this process owns; `done` hears of each that is not at hand any more.

    `topic_id` is Kafka's of the events topic; `tell` hears of circuits that change, and `is_open` says whether an intent still
    is: one that has waited may have been answered by a webhook, or by hand.
    """

    def __init__(
        self,
        context: Context,
        codec: Codec,
        perform: Perform[Any, Any],
        sink: CommandSink,
        partitions: int,
        topic_id: str,
        failed: Callable[[BaseException], None],
        done: Callable[[Intent], None],
        tell: Callable[[Circuit], None],
        is_open: Callable[[Intent], Awaitable[bool]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._context = context
        self._codec = codec
        self.circuits = Circuits(tell, now=now)
        self._parts = Circuits(self._part_changed, now=now)
        self._perform = perform
        self._topic_id = topic_id
        self._outbox = Outbox(sink, context.own_topic, partitions)
        self._failed = failed
        self._done = done
        self._is_open = is_open
        self._now = now
        self._works: dict[str, Work] = {}
        self._targets: dict[str, Target] = {}
        self._number = count()
        self.parked: Counter[int] = Counter()  # how many intents of each partition
        self.asked_again: Asked = {}  # "" for all

    # -- what is at hand

    @property
    def waiting(self) -> int:
        """How many of them a target has no place for that is there, and answers fast."""
        now = asyncio.get_running_loop().time()
        return sum(len(t.ready) for t in self._targets.values() if t.ready and self._is_fast(t, now))

    def _is_fast(self, target: Target, now: float) -> bool:
        is_moving = target.took < SLOW_S and now - target.ready[0].since < LATE_S
        return is_moving and self.circuits.wait(target.name) == 0

    def troubled(self, partition: int) -> Iterator[tuple[Work, str]]:
        """What was tried in vain, and its target."""
        for work in self._works.values():
            if work.tries and work.intent.partition == partition:
                yield work, self._context.target(work.intent.wanted)

    @property
    def needs_somebody(self) -> bool:
        """Whether a person may want something to be tried again now: it is parked, or has a pause."""
        return any(self.parked.values()) or any(t.paused for t in self._targets.values())

    def start(self, intents: Sequence[Intent]) -> None:
        """Have these at hand, unless they already are."""
        now = asyncio.get_running_loop().time()
        touched: dict[str, Target] = {}
        for intent in intents:
            if intent.key in self._works:
                self._done(intent)
                continue
            name = self._context.target(intent.wanted)
            target = touched[name] = self._targets.setdefault(name, Target(name))
            work = self._works[intent.key] = Work(intent, now)
            target.ready.append(work)
        for target in touched.values():
            self._go_on(target)

    def hasten(self) -> None:
        """Try everything now that has a pause."""
        for target in list(self._targets.values()):
            self._end_pauses(target)
            self._go_on(target)

    async def stop(self, partitions: Sequence[int] | None = None) -> None:
        """Let go of the intents of these partitions (all by default); their next owner runs them."""

        def is_theirs(intent: Intent) -> bool:
            return partitions is None or intent.partition in partitions

        tasks = []
        for target in list(self._targets.values()):
            target.ready = deque(w for w in target.ready if not is_theirs(w.intent))
            target.paused = [entry for entry in target.paused if not is_theirs(entry[2].intent)]
            heapq.heapify(target.paused)
            tasks += [task for key, task in target.running.items() if is_theirs(self._works[key].intent)]
        running = {key for target in self._targets.values() for key in target.running}
        for work in [w for w in self._works.values() if is_theirs(w.intent)]:
            work.is_let_go = True
            if work.intent.key not in running:
                self._forget(work.intent)
        for number in [n for n in self.parked if partitions is None or n in partitions]:
            del self.parked[number]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LETTING_GO_S)  # an adapter may not hear of it
        for target in list(self._targets.values()):
            self._go_on(target)

    def _forget(self, intent: Intent) -> None:
        self._works.pop(intent.key, None)
        self._done(intent)

    # -- whose turn it is

    def _go_on(self, target: Target) -> None:
        """Begin as many attempts as there are places for, and come back when there is more to do."""
        now = asyncio.get_running_loop().time()
        while target.paused and target.paused[0][0] <= now:
            self._make_ready(target, heapq.heappop(target.paused)[2], now)
        wait: float | None = 0.0
        while target.ready and len(target.running) < AT_ONCE:
            intent = target.ready[0].intent
            if is_parked(intent.key, intent.at, self.asked_again, self._now()):
                self._park(target.ready.popleft().intent)
                continue
            wait = self.circuits.wait(target.name)
            if wait != 0:
                break
            work = target.ready.popleft()
            self.circuits.begin(target.name)
            task = asyncio.create_task(self._run(target, work), name=work.intent.key)
            target.running[work.intent.key] = task
            task.add_done_callback(partial(self._ended, target, work))
        self._come_back(target, now, wait if target.ready else 0.0)

    def _come_back(self, target: Target, now: float, wait: float | None) -> None:
        """Later, for what has a pause now, or once the circuit may be tried."""
        if target.wake:
            target.wake.cancel()
            target.wake = None
        if target.is_idle:
            self._targets.pop(target.name, None)
            return
        moments = [target.paused[0][0]] if target.paused else []
        if wait:
            moments.append(now + wait)
        if moments:
            target.wake = asyncio.get_running_loop().call_at(min(moments), self._go_on, target)

    @staticmethod
    def _make_ready(target: Target, work: Work, now: float) -> None:
        work.since = now
        target.ready.append(work)

    def _end_pauses(self, target: Target) -> None:
        now = asyncio.get_running_loop().time()
        paused, target.paused = sorted(target.paused), []
        for _, _, work in paused:
            self._make_ready(target, work, now)

    def _age_s(self, intent: Intent) -> float:
        return self._now() - intent.at / 1000

    def _park(self, intent: Intent) -> None:
        if not self.parked[intent.partition]:  # there may be very many, which `weft effects` lists
            _log.error("an effect needs a person", context=self._context.name, key=intent.key)
        self.parked[intent.partition] += 1
        self._forget(intent)

    def _ended(self, target: Target, work: Work, task: asyncio.Task[str | None]) -> None:
        target.running.pop(work.intent.key, None)
        if task.cancelled():  # perhaps before it began; who let go of it goes on with the others
            self.circuits.let_go(target.name)
            self._forget(work.intent)
            return
        if error := task.exception():
            self._forget(work.intent)
            self._failed(error)
        elif (said := task.result()) is None or work.is_let_go:
            self._forget(work.intent)
        else:
            self._put_off(target, work, said)
        self._go_on(target)

    # -- one attempt

    async def _run(self, target: Target, work: Work) -> str | None:
        """Why it is to be tried again; None if it is done with."""
        begun = asyncio.get_running_loop().time()
        if (work.tries or begun - work.since > LATE_S) and not await self._is_open(work.intent):
            self.circuits.let_go(target.name)
            return None
        try:
            record = await self._outcome(target, work)
        except (Unknown, TimeoutError, OSError) as error:
            if isinstance(error, _PartUnknown):
                self.circuits.let_go(target.name)
            else:
                self.circuits.failed(target.name)
            said = str(error) if isinstance(error, Unknown) else type(error).__name__
            _log.warning("outcome unknown", target=target.name, key=work.intent.key, error=said)
            return said
        except (Exception, SystemExit) as error:
            return self._unplanned(target, work, error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._unplanned(target, work, error)  # the adapter's own
        took = asyncio.get_running_loop().time() - begun
        target.took += (took - target.took) / 8
        await self._post(work.intent, record)
        return None

    async def _outcome(self, target: Target, work: Work) -> Outgoing:
        """Perform; the outcome as a command that is fit to be posted."""
        intent = work.intent
        attempt = Attempt(
            f"{intent.topic_id or self._topic_id}/{intent.key}",
            max(0.0, self._age_s(intent)),
            work.tries > 0,
            partial(self._through, target.name),
        )
        async with asyncio.timeout(ATTEMPT_TIMEOUT_S):
            outcome = await self._perform(intent.wanted, attempt)
        if self.circuits.answered(target.name):
            self._end_pauses(target)
            self._go_on(target)
        return outcome_of(self._context, self._codec, intent, outcome, "outcome")

    def _unplanned(self, target: Target, work: Work, error: BaseException) -> str:
        """What an error nobody planned for says: its kind, since its text may name anybody."""
        self.circuits.let_go(target.name)
        kind = type(error).__name__
        _log.error("an effect failed", target=target.name, key=work.intent.key, error=kind, at=_where(error))
        return kind

    def _put_off(self, target: Target, work: Work, said: str) -> None:
        until = asyncio.get_running_loop().time() + _pause(work.tries, LONGEST_PAUSE_S)
        work.tries += 1
        work.said = said[:MAX_SAID]
        heapq.heappush(target.paused, (until, next(self._number), work))

    async def _post(self, intent: Intent, record: Outgoing) -> None:
        """Until it is in its topic, however long that takes; nothing is performed again because of it."""
        tries = 0
        while True:
            try:
                await self._outbox.post(record)
                return
            except Exception as error:
                said = str(error) if isinstance(error, Unknown) else type(error).__name__
                _log.warning("outcome not posted", context=self._context.name, key=intent.key, error=said)
            await asyncio.sleep(_pause(tries, LONGEST_POSTING_PAUSE_S))
            tries += 1

    # -- parts of a target

    @contextmanager
    def _through(self, target: str, part: str) -> Iterator[None]:
        name = f"{target} {part[:MAX_PART]}"
        if self._parts.wait(name) != 0:
            raise _PartUnknown(f"{name} has not answered for a while")
        self._parts.begin(name)
        try:
            yield
        except (Unknown, TimeoutError, OSError) as error:
            self._parts.failed(name)
            raise _PartUnknown(str(error) if isinstance(error, Unknown) else type(error).__name__) from error
        except Undeliverable:
            self._parts.answered(name)
            raise
        except BaseException:
            self._parts.let_go(name)
            raise
        else:
            self._parts.answered(name)

    def _part_changed(self, circuit: Circuit) -> None:
        _log.info("circuit", context=self._context.name, target=circuit.target, state=circuit.state)


def _pause(tries: int, longest_s: float) -> float:
    """Seconds, after so many others."""
    return min(longest_s, FIRST_PAUSE_S * 2.0 ** min(tries, 20)) * (0.5 + random())


def _where(error: BaseException) -> str:
    """The place in the code that raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "?"
