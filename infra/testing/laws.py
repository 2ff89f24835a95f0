"""What has to hold of any mesh at rest, by nothing that the runtime uses but the codec, the deciders and the one rule.

Each law is a function of a world; its name is the law's. What a process believes is held against the fold of the log.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import fields
from itertools import pairwise
from typing import Any

from infra.messages import MAX_ID, Discarded, Due, Refused, Rejected, is_id
from infra.model.context import Context
from infra.testing.facts import Fact, Fold, Partition, Queues, aggregate_of, identity_of, requeue, ways
from infra.testing.world import World
from infra.wire.avro import Codec
from infra.wire.cloudevents import opened
from infra.wire.envelope import (
    CAUSATION,
    CAUSE_TIME,
    CORRELATION,
    DUE_OF,
    ID,
    OUTCOME_OF,
    REACTION,
    TYPE,
    CommandName,
    Way,
    command_name,
)
from infra.wire.inbox import DISCARD, aggregate_key, is_stranded
from infra.wire.limits import MAX_COMMAND_BYTES, MAX_KEY
from infra.wire.record import UNREAD, Read, partition_of, place_of
from infra.wire.sealing import personal, unsealed
from infra.write.intents import slot_of
from infra.write.layout import AGENDA, STATE, place_in
from infra.write.parking import shown
from infra.write.plain import both_in
from infra.write.reactions import commands_from
from infra.write.writer import Writer

UNDECIDABLE = ("failed", "unrecordable")  # codes of what was read, and could not be processed
LEFT_OUT = {"dlq-withheld", "dlq-truncated-from"}  # what a letter says that is not all of what came
A_REACTION = re.compile(rb"[^/]+/\d+/\d+/\d+")

AHEAD_MS = 66_000  # a minute, and as far as clocks that are right differ

Law = Callable[[World], Iterator[str]]


def no_process_fails_by_itself(world: World) -> Iterator[str]:
    for name, error in world.failures:
        yield f"{name} ended with {error!r}"


def a_command_is_decided_once(world: World) -> Iterator[str]:
    """Its events stand together, and nowhere else."""
    for partition in world.partitions():
        answers: dict[tuple[bytes, CommandName], list[Fact]] = defaultdict(list)
        for fact in partition.facts:
            if not fact.is_waiting and not _is(fact, "id_reused"):
                answers[fact.key, fact.command].append(fact)
        for (_, command), said in answers.items():
            offsets = [fact.record.offset for fact in said]
            if any(b - a != 1 for a, b in pairwise(offsets)) or len({f.command_offset for f in said}) > 1:
                yield f"{_name(partition)}: {shown(command)} was decided at {offsets}"


def _is(fact: Fact, code: str) -> bool:
    """Whether it is the refusal of this code."""
    return isinstance(fact.event, Refused) and fact.event.code == code


def _name(partition: Partition) -> str:
    return f"{partition.context.name}/{partition.number}"


def every_command_is_answered(world: World) -> Iterator[str]:
    """Also what is none; only who discards what does not wait, or answers what is not open, hears nothing.

    What was forwarded and lost where it belongs is lost. Nobody can tell what stands where a topic was cut, if what came behind that was
    decided before anybody looked.
    """
    answered: dict[tuple[str, bytes, Way], set[bytes]] = defaultdict(set)
    for partition in world.partitions():
        for fact in partition.facts:
            answered[partition.context.name, fact.key, fact.way].add(fact.command_id)
    open_ = {wish.key for partition in world.partitions() for wish in partition.fold.wishes.values()}
    lost = {
        (partition.context.name, way, partition.number, record.key, identity_of(record))
        for partition in world.partitions()
        for way, record in _out_of_sight(world, partition)
    }
    for partition in world.partitions():
        for way, record in partition.everything_asked():
            headers = dict(record.headers)
            intent = headers.get(OUTCOME_OF) or headers.get(DUE_OF)
            if headers.get(TYPE) == DISCARD or (intent and intent.decode() not in open_):
                continue
            key, identity = record.key or b"", identity_of(record)
            right = partition_of(key, world.kafka.partitions)
            if right != partition.number and (partition.context.name, way, right, record.key, identity) in lost:
                continue
            is_kept_here = right != partition.number and aggregate_key(key) and is_stranded(opened(record))
            known = key if len(key) <= MAX_KEY and not is_kept_here else b""
            is_answered = identity in answered[partition.context.name, known, way]
            if not is_answered and not _is_hidden(world, partition, way, record.offset):
                yield f"{place_of(record)}: nobody answered {identity.decode()}"


def _out_of_sight(world: World, partition: Partition) -> Iterator[tuple[Way, Read]]:
    yield from partition.everything_lost()
    yield from ((way, r) for way, r in partition.everything_asked() if _is_hidden(world, partition, way, r.offset))


def _is_hidden(world: World, partition: Partition, way: Way, offset: int) -> bool:
    place = (ways(partition.context)[way], partition.number)
    for cut in world.cuts:
        if cut.place == place and cut.start <= offset:
            words = [f.record.offset for f in partition.resumed if f.way is way and f.record.offset >= cut.events_end]
            until = min(words, default=partition.end)
            if any(
                f.way is way
                and f.command_offset >= max(cut.decided, offset)
                and cut.events_end <= f.record.offset < until
                for f in partition.facts
            ):
                return True
    return False


def what_was_decided_follows_from_the_log_before_it(world: World) -> Iterator[str]:
    """Deciding each command again, on the accepted history in front of its events, gives just these events.

    What answers something that is not open any more leads to nothing.
    """
    for partition in world.partitions():
        fold = Fold(partition.context)
        for said in partition.decisions():
            if isinstance(said[0].event, Discarded) or _is(said[0], "id_reused"):
                continue
            command = world.mesh.codec.decode(partition.command_of(said[0]).value or b"")
            aggregate = aggregate_of(partition.context, command)
            state = fold.states.get((aggregate.name, said[0].key), aggregate.initial)
            events = [] if _answers_nothing(partition, said[0], fold) else list(aggregate.decide(command, state))
            recorded = [fact.event for fact in said]
            if recorded != events and (events or len(said) > 1 or not _is(said[0], "nothing_to_do")):
                yield f"{said[0].place}: {command} on {state} is {events}, and {recorded} was recorded"
            for fact in said:
                fold.take(fact)


def _answers_nothing(partition: Partition, fact: Fact, fold: Fold) -> bool:
    """Whether the command of an event is an outcome, or a deadline, of what was not open in front of it."""
    headers = dict(partition.command_of(fact).headers)
    intent = headers.get(OUTCOME_OF) or headers.get(DUE_OF)
    is_open = intent is None or intent.decode() in {wish.key for wish in fold.wishes.values()}
    return fact.way is Way.OWN and not is_open


def _believed(world: World) -> Iterator[tuple[str, Partition, Writer]]:
    """Who owns which partition, and what they have of it."""
    for partition in world.partitions():
        for node in world.nodes[partition.context.name]:
            if writer := node.own.writers.get(partition.number):
                yield f"{node.name} of {_name(partition)}", partition, writer


def an_owner_knows_the_end_of_its_log(world: World) -> Iterator[str]:
    for owner, partition, writer in _believed(world):
        if writer.aggregates.next_offset != partition.end:
            yield f"{owner} has read up to {writer.aggregates.next_offset} of {partition.end}"


def the_state_is_the_fold_of_the_log(world: World) -> Iterator[str]:
    """All there is, in memory and on disk; and each that is in memory is as it is."""
    for owner, partition, writer in _believed(world):
        states = {**_on_disk(writer), **writer.aggregates.unwritten.states}
        named, said = {_named(partition.context, slot): state for slot, state in states.items()}, partition.fold.states
        initial = {a.name: a.initial for a in partition.context.aggregates}  # what was never left need not be kept
        if any(named.get(p, initial[p[0]]) != said.get(p, initial[p[0]]) for p in named.keys() | said.keys()):
            yield f"{owner} has {states}, the log says {said}"
        for slot, state in writer.aggregates.states.items():
            if states.get(slot) != state:
                yield f"{owner} has {state} in memory, and {states.get(slot)} on disk, of {slot!r}"


def _on_disk(writer: Writer, *, intents: bool = False) -> dict[bytes, Any]:
    """States by slot, or intents by place."""
    store: Any = writer.state._store
    kept = {key[1:]: both_in(value) for key, value in store.content.now.items() if key.startswith(STATE)}
    if not intents:
        return {slot: state for slot, (state, _) in kept.items()}
    return {i.place: i for slot, (state, said) in kept.items() for i in writer.aggregates.intents_of(slot, state, said)}


def _named(context: Context, slot: bytes) -> tuple[str, bytes]:
    name, mark, key = slot.partition(b"\0")
    return (name.decode(), key) if mark else (context.aggregates[0].name, slot)


def the_intents_are_the_fold_of_the_log(world: World) -> Iterator[str]:
    for owner, partition, writer in _believed(world):
        aggregates = writer.aggregates
        written = _on_disk(writer, intents=True).items()
        all_ = {place: i for place, i in written if slot_of(place) not in aggregates.unwritten.states}
        all_ |= {place: i for place, i in aggregates.intents.items() if slot_of(place) in aggregates.unwritten.states}
        intents = sorted((i.key, repr(i.wanted), i.at) for i in all_.values())
        wishes = sorted((w.key, repr(w.wanted), w.at) for w in partition.fold.wishes.values())
        if intents != wishes:
            yield f"{owner} has {intents} open, the log says {wishes}"
        for place in (slot + suffix for slot in aggregates.states for suffix in aggregates.suffixes):
            if aggregates.intents.get(place) != all_.get(place):
                yield f"{owner} has {aggregates.intents.get(place)} in memory, and {all_.get(place)} on disk"


def the_agenda_is_what_is_open(world: World) -> Iterator[str]:
    """On disk, whatever is open stands in its line, and nothing else does."""
    for owner, _, writer in _believed(world):
        store: Any = writer.state._store
        places = [place_in(key) for key in store.content.now if key.startswith(AGENDA)]
        if sorted(places) != sorted(_on_disk(writer, intents=True)):
            yield f"{owner} has {places} in its agenda, and open are {sorted(_on_disk(writer, intents=True))}"


def the_queues_are_the_fold_of_the_log(world: World) -> Iterator[str]:
    for owner, partition, writer in _believed(world):
        waiting = {key: tuple(queue) for key, queue in partition.fold.queues.items()}
        if writer.aggregates.queues != waiting:
            yield f"{owner} has {writer.aggregates.queues}, the log says {waiting}"


def what_is_rejected_cannot_be_read(world: World) -> Iterator[str]:
    """Unless nobody could decide it, it is no plain command of those that its way allows."""
    for partition in world.partitions():
        for fact in partition.facts:
            if isinstance(fact.event, Rejected) and fact.event.code not in UNDECIDABLE:
                record = partition.command_of(fact)
                if _is_plain(world, partition.context, fact.way, record):
                    yield f"{place_of(record)} is a command, and was rejected: {fact.event.code}: {fact.event.reason}"


def _is_plain(world: World, context: Context, way: Way, record: Read) -> bool:
    """Whether a record is a command as our own producers write it: what anybody has to be able to read."""
    codec, value, headers = world.mesh.codec, record.value or b"", dict(record.headers)
    type_name, message = codec.name_of(value), _decoded_plain(codec, value)
    allowed = {Way.COMMANDS: context.asked, Way.OWN: context.own}
    if type_name is None or type(message) not in allowed[way] or len(value) > MAX_COMMAND_BYTES:
        return False
    subject, spec = str(getattr(message, fields(message)[0].name)), personal(codec.schemas[type_name])
    return (
        is_id(subject)
        and record.key == subject.encode()
        and UNREAD not in headers
        and all(_is_short_text(headers.get(name) or b"") for name in (ID, CORRELATION))
        and headers.get(TYPE) == type_name.encode()
        and (headers.get(CAUSE_TIME) or b"0").isdigit()
        and (way is Way.COMMANDS or A_REACTION.fullmatch(headers.get(REACTION) or b"t/0/0/0") is not None)
        and not (spec and unsealed(spec, message))
    )


def _is_short_text(value: bytes) -> bool:
    return len(value) <= MAX_ID and value.decode(errors="ignore").encode() == value


def _decoded_plain(codec: Codec, value: bytes) -> Any:
    """The message in framed Avro; None if there is none."""
    try:
        return codec.decode(value)
    except ValueError:
        return None


def nobody_waits_behind_noise(world: World) -> Iterator[str]:
    """What is rejected blocks its key iff its context asked it itself, or a decider failed at it."""
    for partition in world.partitions():
        for fact in partition.facts:
            if isinstance(fact.event, Rejected):
                blocks = fact.way is Way.OWN or fact.event.code == "failed"
                if fact.event.blocks is not blocks:
                    yield f"{fact.place}: {fact.event.code} {'blocks nobody' if blocks else 'blocks its key'}"


def nothing_overtakes_what_waits(world: World) -> Iterator[str]:
    """Of a key that has a queue, the head is decided next, or something is discarded."""
    for partition in world.partitions():
        queues: Queues = {}
        begun: CommandName | None = None
        for fact in partition.facts:
            queue = list(queues.get(fact.key, ()))
            is_free = (
                fact.is_waiting
                or isinstance(fact.event, Discarded)
                or fact.command == begun
                or _is(fact, "id_reused")
                or _is(fact, "too_many_wait")
            )
            if queue and queue[0] != fact.command and not is_free:
                yield f"{fact.place}: {fact.command_id.decode()} was decided before {shown(queue[0])}"
            requeue(queues, fact)
            begun = fact.command


def what_waits_is_kept(world: World) -> Iterator[str]:
    """As it came, so that it can be sent again; unless another under its id was kept first, and lost."""
    for partition in world.partitions():
        lost = {record.value for _, record in partition.everything_lost()}
        kept = world.letters(partition)
        waiting = {(fact.key, fact.command): fact for fact in reversed(partition.facts) if fact.is_waiting}
        for fact in waiting.values():
            letter, command = kept.get((fact.key, fact.command)), partition.command_of(fact)
            if letter is None:
                yield f"{fact.place}: nobody kept {fact.command_id.decode()}"
            elif letter.value not in {command.value, *lost} and not LEFT_OUT & dict(letter.headers).keys():
                yield f"{fact.place}: {fact.command_id.decode()} was kept otherwise than it came"


def nothing_is_left_waiting(world: World) -> Iterator[str]:
    """Somebody sends again, or discards, all that waits."""
    for partition in world.partitions():
        for key, queue in partition.fold.queues.items():
            yield f"{_name(partition)}: of {key.decode()}, {queue} still wait"


def every_event_is_reacted_to_once(world: World) -> Iterator[str]:
    """What a policy asks because of an accepted event has one answer in its own context's log."""
    answers: Counter[tuple[str, bytes | None, CommandName]] = Counter(
        (partition.context.name, said[0].key, said[0].command)
        for partition in world.partitions()
        for said in partition.decisions()
    )
    for context in world.mesh.contexts.values():
        if context.react is None:
            continue
        for topic in world.mesh.heard_topics(context):
            for number in range(world.kafka.partitions):
                for record in commands_from(context, world.mesh.codec, world.kafka.log(topic, number), topic):
                    identity = dict(record.headers).get(ID) or b""
                    count = answers[context.name, record.key, command_name(Way.OWN, identity)]
                    if count != 1:
                        yield f"{identity.decode()} has {count} answers"


def an_answer_is_to_what_is_open(world: World) -> Iterator[str]:
    """Whether an outcome, or a deadline, is decided; one that waited in line hears that there is nothing to do any more."""
    for partition in world.partitions():
        fold, begun = Fold(partition.context), -1
        for fact in partition.facts:
            is_first = fact.way is Way.OWN and fact.command_offset != begun and not fact.is_waiting
            in_vain = fact.command in fold.queues.get(fact.key, ()) and _is(fact, "nothing_to_do")
            if is_first and not in_vain and _answers_nothing(partition, fact, fold):
                yield f"{fact.place}: {fact.command_id.decode()} was decided, and nothing was open"
            begun = fact.command_offset if fact.way is Way.OWN else begun
            fold.take(fact)


def nobody_asks_what_is_not_theirs(world: World) -> Iterator[str]:
    """What a context asks itself is decided only if it came by its own way, and what anybody asks only by the other."""
    for partition in world.partitions():
        allowed = {Way.COMMANDS: partition.context.asked, Way.OWN: partition.context.own}
        for said in partition.decisions():
            if isinstance(said[0].event, Discarded) or _is(said[0], "id_reused"):
                continue
            command = world.mesh.codec.decode(partition.command_of(said[0]).value or b"")
            if type(command) not in allowed[said[0].way]:
                yield f"{said[0].place}: {command} came by {said[0].way.name.lower()}"


def nothing_is_decided_that_was_aborted(world: World) -> Iterator[str]:
    for partition in world.partitions():
        for fact in partition.facts:
            there = partition.asked[fact.way][fact.command_offset : fact.command_offset + 1]
            if fact.command_offset in partition.aborted[fact.way] and partition.command_of(fact) is there[0]:
                yield f"{fact.place}: {fact.command_id.decode()} was aborted, and {fact.event} was recorded"


def who_takes_an_id_hears_of_it(world: World) -> Iterator[str]:
    """A stranger's command under an id that stands for another content has an answer of its own.

    Nobody can tell what stands where a topic was cut, if what came behind that was decided before anybody looked.
    """
    for partition in world.partitions():
        decided: dict[tuple[bytes, CommandName], Read] = {}
        waited = {(fact.key, fact.command) for fact in partition.facts if fact.is_waiting}
        for said in partition.decisions():
            if said[0].way is Way.COMMANDS and not _is(said[0], "id_reused"):
                decided[said[0].key, said[0].command] = partition.command_of(said[0])
        answered = {fact.command_offset for fact in partition.facts if fact.way is Way.COMMANDS}
        for record in partition.asked[Way.COMMANDS][partition.lows[Way.COMMANDS] :]:
            name = (record.key or b"", identity_of(record))
            known = decided.get(name)
            is_asked = (
                dict(record.headers).get(TYPE) != DISCARD and record.offset not in partition.aborted[Way.COMMANDS]
            )
            if known is None or name in waited or not is_asked:
                continue
            is_unanswered = record.value != known.value and record.offset not in answered
            if is_unanswered and not _is_hidden(world, partition, Way.COMMANDS, record.offset):
                yield f"{place_of(record)}: {identity_of(record).decode()} says something else, and nobody said so"


def the_log_names_the_command_topics_that_are_there(world: World) -> Iterator[str]:
    """And what it decided of them last is there, or was deleted since: whatever they lost, somebody has accepted it."""
    for partition in world.partitions():
        for way, topic in ways(partition.context).items():
            named = [fact for fact in partition.resumed if fact.way is way]
            if not named or named[-1].event.topic_id != world.kafka.topic_id(topic):
                yield f"{_name(partition)} names {named[-1].event.topic_id if named else 'no topic'} as its {topic}"
                continue
            since = [f for f in partition.facts if f.way is way and f.record.offset > named[-1].record.offset]
            if since and max(fact.command_offset for fact in since) >= len(partition.asked[way]):
                yield f"{_name(partition)}: {since[-1].place} is of a command that {topic} does not have"


def nothing_is_done_that_the_log_did_not_ask_for(world: World) -> Iterator[str]:
    asked = {fact.id.decode() for partition in world.partitions() for fact in partition.facts}
    for key in world.done:
        if key.partition("/")[2] not in asked:
            yield f"{key} was done outside, and no accepted event has that id"


def nothing_that_was_wanted_is_left_open(world: World) -> Iterator[str]:
    for partition in world.partitions():
        for wish in partition.fold.wishes.values():
            if not isinstance(wish.wanted, Due):
                yield f"{wish.key} still wants {wish.wanted}"


def no_deadline_is_missed(world: World) -> Iterator[str]:
    now = world.kafka.now() - 30_000
    for partition in world.partitions():
        for wish in partition.fold.wishes.values():
            if isinstance(wish.wanted, Due) and wish.at + 1000 * wish.wanted.after_s < now:
                yield f"{wish.key} was due: {wish.wanted}"


def no_deadline_comes_early(world: World) -> Iterator[str]:
    """What decides one was appended when its moment had come; the broker's clock says so, whoever called it."""
    for partition in world.partitions():
        fold = Fold(partition.context)
        for fact in partition.facts:
            due = dict(fact.record.headers).get(DUE_OF)
            for wish in [w for w in fold.wishes.values() if due and w.key.encode() == due and not fact.is_waiting]:
                early = wish.at + 1000 * wish.wanted.after_s - partition.command_of(fact).timestamp
                if early > 0:
                    yield f"{fact.place}: {fact.command_id.decode()} came {early} ms early"
            fold.take(fact)


def no_time_is_far_ahead(world: World) -> Iterator[str]:
    """Whatever the broker's clock once said, and deadlines with it."""
    for partition in world.partitions():
        if partition.facts and (ahead := partition.facts[-1].record.timestamp - world.loop.now_ms) > AHEAD_MS:
            yield f"{partition.facts[-1].place} was recorded {ahead} ms ahead of its time"


def time_never_goes_back(world: World) -> Iterator[str]:
    """Not in a partition, and no event is recorded before what caused it."""
    recorded = {fact.id: fact.record.timestamp for partition in world.partitions() for fact in partition.facts}
    for partition in world.partitions():
        for before, after in pairwise(partition.facts):
            if after.record.timestamp < before.record.timestamp:
                yield f"{after.place} was recorded {before.record.timestamp - after.record.timestamp} ms before the one in front"
        for fact in partition.facts:
            headers = dict(partition.command_of(fact).headers)
            cause = recorded.get(headers.get(CAUSATION) or b"")
            if cause is not None and CAUSE_TIME in headers and fact.record.timestamp < cause:
                yield f"{fact.place} was recorded {cause - fact.record.timestamp} ms before its cause"


LAWS: tuple[Law, ...] = (
    no_process_fails_by_itself,
    a_command_is_decided_once,
    every_command_is_answered,
    what_was_decided_follows_from_the_log_before_it,
    an_owner_knows_the_end_of_its_log,
    the_state_is_the_fold_of_the_log,
    the_intents_are_the_fold_of_the_log,
    the_agenda_is_what_is_open,
    the_queues_are_the_fold_of_the_log,
    what_is_rejected_cannot_be_read,
    nobody_waits_behind_noise,
    nothing_overtakes_what_waits,
    what_waits_is_kept,
    nothing_is_left_waiting,
    every_event_is_reacted_to_once,
    an_answer_is_to_what_is_open,
    nobody_asks_what_is_not_theirs,
    nothing_is_decided_that_was_aborted,
    who_takes_an_id_hears_of_it,
    the_log_names_the_command_topics_that_are_there,
    nothing_is_done_that_the_log_did_not_ask_for,
    nothing_that_was_wanted_is_left_open,
    no_deadline_is_missed,
    no_deadline_comes_early,
    no_time_is_far_ahead,
    time_never_goes_back,
)


def broken(world: World, laws: tuple[Law, ...] = LAWS) -> dict[str, list[str]]:
    """What is broken, by the name of the law."""
    violations = {law.__name__: list(law(world)) for law in laws}
    return {name: lines for name, lines in violations.items() if lines}
