"""Runs what states want of the outside, and brings the outcome back as a command.

Intents come from folded state, never from a cursor: after a recovery, what is still open is simply run again, with the
same key. An outcome that is not known is no outcome: it is asked for again, with growing pauses, until there is one. Each
target has a circuit breaker and slots of its own, so that one that is down holds up nothing else.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from infra.errors import Unknown, Unusable
from infra.kafka.log import CommandSink, addressed, until_known
from infra.model.context import Context, Perform
from infra.wire.avro import Codec
from infra.wire.envelope import OUTCOME_OF, Cause
from infra.wire.record import Outgoing
from infra.write.aggregates import kinds_of
from infra.write.circuits import Circuits
from infra.write.intents import PENDING, Intent, named, subject_of
from infra.write.reactions import outgoing_command

_log = structlog.get_logger()


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


class EffectRunner:
    """Intents of the partitions this process owns; `done` hears of each that is not run any more."""

    def __init__(
        self,
        context: Context,
        codec: Codec,
        perform: Perform[Any, Any],
        sink: CommandSink,
        partitions: int,
        failed: Callable[[BaseException], None],
        done: Callable[[Intent], None],
        circuits: Circuits,
    ) -> None:
        self._codec = codec
        self._target = context.target
        self._prefixes = {command: kind.prefix for kind in kinds_of(context) for command in kind.commands}
        self._circuits = circuits
        self._perform = perform
        self._outbox = Outbox(sink, context.own_topic, partitions)
        self._failed = failed
        self._done = done
        self._running: dict[str, tuple[Intent, asyncio.Task[None]]] = {}

    @property
    def waiting(self) -> int:
        """How many of them a target that is there has no slot for."""
        return self._circuits.waiting

    def start(self, intents: Sequence[Intent]) -> None:
        """Run these unless they already run."""
        for intent in intents:
            if intent.key in self._running:
                self._done(intent)
                continue
            task = asyncio.create_task(self._run(intent), name=intent.key)
            self._running[intent.key] = (intent, task)
            task.add_done_callback(self._ended)

    async def stop(self, partitions: Sequence[int] | None = None) -> None:
        """Let go of the intents of these partitions (all by default); their next owner runs them."""
        tasks = [task for i, task in self._running.values() if partitions is None or i.partition in partitions]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _place(self, outcome: Any) -> bytes | None:
        """Where it would be looked for what an outcome answers; None for what is no command of the context."""
        prefix = self._prefixes.get(type(outcome))
        return None if prefix is None else prefix + subject_of(outcome).encode() + PENDING

    def _ended(self, task: asyncio.Task[None]) -> None:
        intent, _ = self._running.pop(task.get_name())
        self._done(intent)
        if not task.cancelled() and (error := task.exception()):
            self._failed(error)

    async def _run(self, intent: Intent) -> None:
        target = self._target(intent.wanted)

        async def attempt() -> None:
            try:
                outcome = await self._circuits.through(target, lambda: self._perform(intent.wanted, intent.key))
            except Unknown as error:
                _log.warning("outcome unknown", target=target, key=intent.key, error=str(error))
                raise
            if self._place(outcome) != intent.place:
                raise Unusable(
                    f"the outcome of {intent.wanted} is {named(outcome)}: an outcome is a command for the aggregate that wanted it"
                )
            command_id = f"{intent.key}/outcome"
            cause = Cause(intent.correlation, intent.key, intent.at)
            record = outgoing_command(self._codec, outcome, command_id, cause, (OUTCOME_OF, intent.key.encode()))
            await self._outbox.post(record)

        await until_known(attempt)
