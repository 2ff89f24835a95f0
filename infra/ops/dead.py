"""Dead letters: what is kept in `<context>.dead`, where each stands in its key's queue, and how it gets out of it.

A letter is sent again as it came, under its own id, so that the log decides whether it may pass: only the head of a queue
is processed. Ids are what anybody says, so a letter is told from others by its key, its way and its id.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from infra.edge.client import Asked, post_all
from infra.errors import Unusable
from infra.kafka import reading
from infra.kafka.reading import Place
from infra.mesh import Mesh
from infra.messages import Discarded, Parked, Rejected
from infra.model.context import Context
from infra.ops.redrive import Name, Redrive
from infra.settings import Settings
from infra.wire.avro import Codec
from infra.wire.envelope import (
    CAUSATION,
    ID,
    TYPE,
    CommandName,
    Way,
    accepted,
    command_headers,
    command_name,
    given_id,
    way_of,
)
from infra.wire.inbox import DISCARD, aggregate_key
from infra.wire.record import Header, Read, place_of, text, when
from infra.write.parking import PREFIX, Queue, queue_after

OPEN = ("waiting", "behind")
CUT = "no topic could hold all of it, so nobody kept it: send it again with `weft send --id`, or discard it"
WITHHELD = "it may name a person in plain, so nobody kept it: send it again with `weft send --id`, or discard it"


@dataclass(frozen=True)
class Letter:
    """A command that was kept. `status` is waiting (the head of its key's queue), behind, processed, discarded or kept.

    `key` and `id` are to be read: what is none in UTF-8 is not what they say.
    """

    context: str
    key: str
    id: str
    way: str
    type: str
    code: str
    reason: str
    status: str
    at: str
    place: str
    record: Read

    @property
    def name(self) -> Name:
        return self.record.key or b"", command_name(Way[self.way.upper()], _id(self.record))

    @property
    def is_withheld(self) -> bool:
        return "dlq-withheld" in dict(self.record.headers)

    @property
    def why_not(self) -> str:
        """Why it cannot be sent again, if so."""
        if self.is_withheld:
            return WITHHELD
        return CUT if "dlq-truncated-from" in dict(self.record.headers) else ""

    def shown(self) -> dict[str, str]:
        """Everything but the record."""
        return {name: value for name, value in vars(self).items() if name != "record"}


@dataclass
class Queues:
    """The queues of one context, folded from its events; and what happened to each command that was ever in one."""

    context: Context
    codec: Codec
    waiting: dict[bytes, Queue]
    history: dict[Name, list[str]]

    def fold(self, records: Iterable[Read]) -> Iterator[tuple[bytes, CommandName, Any]]:
        """Take in events; yields (key, command, event) of those that concern a queue."""
        kinds = {self.codec.names[t].encode() for t in (Rejected, Parked, Discarded)}
        for record in records:
            headers = dict(record.headers)
            key, command = record.key or b"", command_name(way_of(headers), headers.get(CAUSATION) or b"")
            if not accepted(headers, record.offset):
                continue
            if headers.get(TYPE) not in kinds and (key, command) not in self.history:
                continue
            event = self.codec.decode(record.value or b"")
            place = place_of(record)
            content = " ".join(str(value) for value in vars(event).values()) if headers.get(TYPE) in kinds else ""
            line = f"{when(record.timestamp):%Y-%m-%d %H:%M:%S}  {place}  {type(event).__name__}  {content}".rstrip()
            self.history.setdefault((key, command), []).append(line)
            if aggregate_key(key):
                self.waiting[key] = queue_after(self.waiting.get(key, ()), event, command)
            yield key, command, event

    def status(self, key: bytes, command: CommandName) -> str:
        queue = self.waiting.get(key, ())
        if command in queue:
            return "waiting" if queue[0] == command else "behind"
        last = self.history.get((key, command), ["?"])[-1]
        if not aggregate_key(key) or "  Rejected" in last:
            return "kept"
        return "discarded" if "  Discarded" in last else "processed"

    def letter(self, record: Read) -> Letter:
        """What was kept, and where it stands."""
        headers = dict(record.headers)
        key, identity, way = record.key or b"", _id(record), self.way(record)
        return Letter(
            self.context.name,
            key.decode(errors="replace"),
            identity.decode(errors="replace"),
            way.name.lower(),
            text(headers.get(TYPE)) or "?",
            text(headers.get("dlq-exception-class")) or "?",
            text(headers.get("dlq-exception-message")) or "",
            self.status(key, command_name(way, identity)),
            f"{when(record.timestamp):%Y-%m-%d %H:%M:%S}",
            place_of(record),
            record,
        )

    def way(self, record: Read) -> Way:
        """The way a letter's command came by."""
        is_own = dict(record.headers).get("dlq-original-topic") == self.context.own_topic.encode()
        return Way.OWN if is_own else Way.COMMANDS


class Office:
    """The dead letters of one context, read from Kafka."""

    def __init__(self, settings: Settings, mesh: Mesh, context: Context) -> None:
        self._mesh = mesh
        self.context = context
        self._settings = settings
        self.queues = Queues(context, mesh.codec, {}, {})
        self._ends: dict[Place, int] = {}

    def letters(self) -> list[Letter]:
        """All of them, oldest first, each once; the events topic is read to tell where they stand."""
        with reading.opened(self._settings) as client:
            records = [r for batch in reading.read_whole(client, [self.context.dead_topic]) for r in batch]
            places = reading.partitions_of(client, [self.context.events_topic])
            if not places:
                raise Unusable(
                    f"the topic {self.context.events_topic} does not exist; create the mesh's topics with `weft setup`"
                )
            self._ends = reading.ends(client, places)
            for batch in reading.read_all(client, {}, self._ends):
                for _ in self.queues.fold(batch):
                    pass
        unique = {(r.key or b"", self.queues.way(r), _id(r)): r for r in reversed(records)}
        return [self.queues.letter(r) for r in sorted(unique.values(), key=lambda r: r.timestamp)]

    def history(self, letter: Letter) -> list[str]:
        return self.queues.history.get(letter.name, [])

    def redrive(self, letters: Sequence[Letter], patience: float) -> list[tuple[Letter, str]]:
        """Send these again, in the order of their keys' queues; what became of each, `waiting` if that takes too long.

        What nobody kept is passed over, and what is behind it in its queue waits on. Raises Unusable, and sends nothing, if
        any of them does not wait.
        """
        _check_open(letters)
        chosen = {letter.name: letter for letter in letters}
        kept = {name for name, letter in chosen.items() if not letter.why_not}
        queues = {key: [(key, command) for command in queue] for key, queue in self.queues.waiting.items()}
        sending = Redrive([list(takewhile(kept.__contains__, queue)) for queue in queues.values()])
        self._follow(sending, lambda name: again(chosen[name]), patience)
        in_order = [name for queue in queues.values() for name in queue if name in chosen]
        return [(chosen[name], _outcome(chosen[name], sending.outcomes)) for name in in_order]

    def discard(self, letter: Letter, reason: str, patience: float) -> str:
        """Never process this one; what became of it. Raises Unusable if it does not wait."""
        _check_open([letter])
        sending = Redrive([[letter.name]])
        self._follow(sending, lambda name: discard_of(letter, reason), patience)
        return sending.outcomes.get(letter.name, "waiting")

    def _follow(self, sending: Redrive, asked: Callable[[Name], Asked], patience: float) -> None:
        """Send, follow the events, and send what comes next, until everything is answered or patience ends."""
        deadline = time.monotonic() + patience
        with reading.opened(self._settings) as client:
            reading.assign(client, self._ends)
            while not sending.is_over and time.monotonic() < deadline:
                if names := sending.next():
                    post_all(self._settings, self._mesh, map(asked, names))
                for key, command, event in self.queues.fold(reading.poll(client, 1000, 0.2)[0]):
                    sending.take(key, command, event)


def _outcome(letter: Letter, outcomes: Mapping[Name, str]) -> str:
    return letter.why_not or outcomes.get(letter.name, "waiting")


def _check_open(letters: Iterable[Letter]) -> None:
    for letter in letters:
        if letter.status == "kept":
            raise Unusable(f"{letter.id} does not wait: it was no command, so it is kept, and in nobody's way")
        if letter.status not in OPEN:
            raise Unusable(f"{letter.id} does not wait any more: it is {letter.status}")


def again(letter: Letter) -> Asked:
    """What waits, as it came; Unusable if nobody kept what it said."""
    if letter.why_not:
        raise Unusable(f"{letter.id}: {letter.why_not}")
    record = letter.record
    headers = [(name, value or b"") for name, value in record.headers if not name.startswith(PREFIX) and name != ID]
    return _asked(letter, record.value or b"", headers)


def discard_of(letter: Letter, reason: str) -> Asked:
    """What asks never to process it."""
    headers = [header for header in command_headers(DISCARD.decode(), letter.id) if header[0] != ID]
    return _asked(letter, json.dumps({"reason": reason}).encode(), headers)


def _asked(letter: Letter, value: bytes, headers: list[Header]) -> Asked:
    """By the way the letter came, of its own aggregate and under its own id, whatever is shown of them."""
    topic = (dict(letter.record.headers).get("dlq-original-topic") or b"").decode()
    key = (letter.record.key or b"").decode()  # what waits has an id
    return Asked(topic, key, value, [*headers, (ID, _id(letter.record))], letter.id)


def _id(record: Read) -> bytes:
    """The id a letter's command goes by: its own, or its first place in the commands topic."""
    headers = dict(record.headers)
    if (own := given_id(headers)) is not None:
        return own
    place = (headers.get(f"dlq-original-{part}") or b"" for part in ("topic", "partition", "offset"))
    return b"/".join(place)
