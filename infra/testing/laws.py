"""What has to hold of any mesh at rest, by nothing that the runtime uses but the codec, the deciders and the one rule.

Each law is a function of a world; its name is the law's.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

from infra.messages import LOG_KEEPING, RUNTIME, Due, Parked, Refused, Rejected
from infra.model.context import Aggregate, Context
from infra.testing.world import World
from infra.wire.envelope import CAUSATION, CAUSE_TIME, COMMAND_OFFSET, EXPECTED_OFFSET, ID, OWN_OFFSET, Way
from infra.wire.record import Read, place_of
from infra.write.reactions import commands_from

Law = Callable[[World], Iterator[str]]


@dataclass(frozen=True)
class Fact:
    """An accepted event, and what its record says of it."""

    record: Read
    event: Any
    id: bytes
    command_id: bytes
    way: Way
    command_offset: int

    @property
    def key(self) -> bytes:
        return self.record.key or b""

    @property
    def place(self) -> str:
        return place_of(self.record)


def facts(world: World, context: Context, partition: int) -> list[Fact]:
    """The accepted events of a partition: those that landed at the offset their writer expected."""
    found = []
    for record in world.kafka.log(context.events_topic, partition):
        headers = dict(record.headers)
        if headers.get(EXPECTED_OFFSET) == str(record.offset).encode():
            event = world.mesh.codec.decode(record.value or b"")
            identity, command = headers[ID] or b"", headers[CAUSATION] or b""
            way = Way.OWN if OWN_OFFSET in headers else Way.COMMANDS
            offset = int(headers[OWN_OFFSET if way is Way.OWN else COMMAND_OFFSET] or b"")
            found.append(Fact(record, event, identity, command, way, offset))
    return found


def posted(world: World, context: Context, partition: int) -> dict[Way, list[Read]]:
    """What was posted to a partition of a context, by each way."""
    topics = {Way.COMMANDS: context.commands_topic, Way.OWN: context.own_topic}
    return {way: world.kafka.log(topic, partition) for way, topic in topics.items()}


def partitions(world: World) -> Iterator[tuple[Context, int, list[Fact]]]:
    for context in world.mesh.contexts.values():
        for number in range(world.kafka.partitions):
            yield context, number, facts(world, context, number)


def no_process_fails_by_itself(world: World) -> Iterator[str]:
    for name, error in world.failures:
        yield f"{name} ended with {error!r}"


def a_command_is_decided_once(world: World) -> Iterator[str]:
    """Its events stand together, and nowhere else."""
    for context, number, logged in partitions(world):
        answers: dict[tuple[bytes, bytes], list[Fact]] = defaultdict(list)
        for fact in logged:
            if not isinstance(fact.event, Rejected | Parked):
                answers[fact.key, fact.command_id].append(fact)
        for (_, command), said in answers.items():
            offsets = [fact.record.offset for fact in said]
            if any(b - a != 1 for a, b in pairwise(offsets)) or len({f.command_offset for f in said}) > 1:
                yield f"{context.name}/{number}: {command.decode()} was decided at {offsets}"


def every_command_is_answered(world: World) -> Iterator[str]:
    for context in world.mesh.contexts.values():
        answered = {
            (fact.key, fact.command_id)
            for number in range(world.kafka.partitions)
            for fact in facts(world, context, number)
        }
        for number in range(world.kafka.partitions):
            for record in chain.from_iterable(posted(world, context, number).values()):
                identity = dict(record.headers).get(ID) or b""
                if (record.key, identity) not in answered:
                    yield f"{record.topic}/{number}/{record.offset}: nobody answered {identity.decode()}"


def what_was_decided_follows_from_the_log_before_it(world: World) -> Iterator[str]:
    """Deciding each command again, on the accepted history in front of its events, gives just these events."""
    for context, number, logged in partitions(world):
        states: dict[tuple[str, bytes], Any] = {}
        commands = posted(world, context, number)
        for said in _by_command(logged):
            if isinstance(said[0].event, (*LOG_KEEPING, Rejected, Parked)):
                continue
            command = world.mesh.codec.decode(commands[said[0].way][said[0].command_offset].value or b"")
            aggregate = _aggregate_of(context, command)
            place = (aggregate.name, said[0].key)
            state = states.get(place, aggregate.initial)
            events, states[place] = _decided(aggregate, command, state)
            recorded = [fact.event for fact in said]
            if recorded != events and (events or not _nothing_to_do(recorded)):
                yield f"{said[0].place}: {command} on {state} is {events}, and {recorded} was recorded"


def _nothing_to_do(recorded: list[Any]) -> bool:
    """Whether this is the answer to a command that found nothing to do."""
    return len(recorded) == 1 and isinstance(recorded[0], Refused) and recorded[0].code == "nothing_to_do"


def _by_command(logged: list[Fact]) -> Iterator[list[Fact]]:
    run: list[Fact] = []
    for fact in logged:
        if run and (fact.command_id, fact.key) != (run[-1].command_id, run[-1].key):
            yield run
            run = []
        run.append(fact)
    if run:
        yield run


def _aggregate_of(context: Context, message: Any) -> Aggregate:
    return next(a for a in context.aggregates if type(message) in (*a.commands, *a.events))


def _decided(aggregate: Aggregate, command: Any, state: Any) -> tuple[list[Any], Any]:
    events = []
    for event in aggregate.decide(command, state):
        events.append(event)
        if not isinstance(event, Refused):
            state = aggregate.evolve(state, event)
    return events, state


def the_state_is_the_fold_of_the_log(world: World) -> Iterator[str]:
    for context, number, logged in partitions(world):
        folded: dict[tuple[str, bytes], Any] = {}
        for fact in logged:
            if not isinstance(fact.event, (*RUNTIME, *LOG_KEEPING)):
                aggregate = _aggregate_of(context, fact.event)
                place = (aggregate.name, fact.key)
                folded[place] = aggregate.evolve(folded.get(place, aggregate.initial), fact.event)
        for node in world.nodes[context.name]:
            if writer := node.own.writers.get(number):
                while writer.aggregates.settle(100):
                    pass
                states = writer.aggregates.states
                named = {(name, key): state for slot, state in states.items() for name, key in [_named(context, slot)]}
                if named != folded:
                    yield f"{node.name} has {named} of {context.name}/{number}, the log says {folded}"


def _named(context: Context, slot: bytes) -> tuple[str, bytes]:
    name, mark, key = slot.partition(b"\0")
    return (name.decode(), key) if mark else (context.aggregates[0].name, slot)


def every_event_is_reacted_to_once(world: World) -> Iterator[str]:
    """What a policy asks because of an accepted event has one answer in its own context's log."""
    answers: dict[tuple[str, bytes | None, bytes], int] = defaultdict(int)
    for context, _, logged in partitions(world):
        for said in _by_command(logged):
            if not isinstance(said[0].event, Rejected | Parked):
                answers[context.name, said[0].key, said[0].command_id] += 1
    for context in world.mesh.contexts.values():
        if context.react is None:
            continue
        for topic in world.mesh.heard_topics(context):
            for number in range(world.kafka.partitions):
                for record in commands_from(context, world.mesh.codec, world.kafka.log(topic, number), topic):
                    identity = dict(record.headers).get(ID) or b""
                    if answers[context.name, record.key, identity] != 1:
                        yield f"{identity.decode()} has {answers[context.name, record.key, identity]} answers"


def nothing_is_done_that_the_log_did_not_ask_for(world: World) -> Iterator[str]:
    asked = {fact.id.decode() for _, _, logged in partitions(world) for fact in logged}
    for key in world.done:
        if key not in asked:
            yield f"{key} was done outside, and no accepted event has that id"


def nothing_that_was_wanted_is_left_open(world: World) -> Iterator[str]:
    for intent in world.intents():
        if not isinstance(intent.wanted, Due):
            yield f"{intent.key} still wants {intent.wanted}"


def no_deadline_is_missed(world: World) -> Iterator[str]:
    now = world.kafka.now() - 30_000
    for intent in world.intents():
        if isinstance(intent.wanted, Due) and intent.at + 1000 * intent.wanted.after_s < now:
            yield f"{intent.key} was due: {intent.wanted}"


def time_never_goes_back(world: World) -> Iterator[str]:
    """Not in a partition, and no event is recorded before what caused it."""
    recorded = {fact.id: fact.record.timestamp for _, _, logged in partitions(world) for fact in logged}
    for context, number, logged in partitions(world):
        commands = posted(world, context, number)
        for before, after in pairwise(logged):
            if after.record.timestamp < before.record.timestamp:
                yield f"{after.place} was recorded {before.record.timestamp - after.record.timestamp} ms before the one in front"
        for fact in logged:
            asked = commands[fact.way]
            headers = dict(asked[fact.command_offset].headers) if fact.command_offset < len(asked) else {}
            cause = recorded.get(headers.get(CAUSATION) or b"")
            if cause is not None and CAUSE_TIME in headers and fact.record.timestamp < cause:
                yield f"{fact.place} was recorded {cause - fact.record.timestamp} ms before its cause"


LAWS: tuple[Law, ...] = (
    no_process_fails_by_itself,
    a_command_is_decided_once,
    every_command_is_answered,
    what_was_decided_follows_from_the_log_before_it,
    the_state_is_the_fold_of_the_log,
    every_event_is_reacted_to_once,
    nothing_is_done_that_the_log_did_not_ask_for,
    nothing_that_was_wanted_is_left_open,
    no_deadline_is_missed,
    time_never_goes_back,
)


def broken(world: World, laws: tuple[Law, ...] = LAWS) -> dict[str, list[str]]:
    """What is broken, by the name of the law."""
    violations = {law.__name__: list(law(world)) for law in laws}
    return {name: lines for name, lines in violations.items() if lines}
