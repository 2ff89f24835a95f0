"""Dead letters: what is kept in `<context>.dead`, where each stands in its key's queue, and how it gets out of it.

A letter is sent again as it came, under its own id, so that the log decides whether it may pass: only the head of a queue
is processed. Sending all letters of a key in their order lets them pass one after the other.
"""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from infra.edge.client import Asked, post_all
from infra.errors import Unusable
from infra.kafka import reading
from infra.kafka.reading import Place
from infra.mesh import Mesh
from infra.messages import Discarded, Parked, Rejected
from infra.model.context import Context
from infra.settings import Settings
from infra.wire.avro import Codec
from infra.wire.envelope import CAUSATION, ID, TYPE, CommandName, Way, accepted, command_headers, command_name, way_of
from infra.wire.record import Read, place_of, text, when
from infra.write.parking import DISCARD, Queue, queue_after

PREFIX = "dlq-"


@dataclass(frozen=True)
class Letter:
    """A command that was kept. `status` is waiting (the head of its key's queue), behind, processed, discarded or kept."""

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
    def command(self) -> CommandName:
        return command_name(Way[self.way.upper()], _id(self.record))

    def shown(self) -> dict[str, str]:
        """Everything but the record."""
        return {name: value for name, value in vars(self).items() if name != "record"}


@dataclass
class Queues:
    """The queues of one context, folded from its events; and what happened to each command that was ever in one."""

    context: Context
    codec: Codec
    waiting: dict[bytes, Queue]
    history: dict[tuple[bytes, CommandName], list[str]]

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
            if key:
                self.waiting[key] = queue_after(self.waiting.get(key, ()), event, command)
            yield key, command, event

    def status(self, key: bytes, command: CommandName) -> str:
        queue = self.waiting.get(key, ())
        if command in queue:
            return "waiting" if queue[0] == command else "behind"
        last = self.history.get((key, command), ["?"])[-1]
        return "kept" if not key else "discarded" if "  Discarded" in last else "processed"


class Office:
    """The dead letters of one context, read from Kafka."""

    def __init__(self, settings: Settings, mesh: Mesh, context: Context) -> None:
        self._mesh = mesh
        self.context = context
        self._settings = settings
        self._own = context.own_topic.encode()
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
        unique = {(r.key or b"", self._way(r), _id(r)): r for r in reversed(records)}
        return [self._letter(r) for r in sorted(unique.values(), key=lambda r: r.timestamp)]

    def _letter(self, record: Read) -> Letter:
        headers = dict(record.headers)
        key, identity, way = record.key or b"", _id(record), self._way(record)
        return Letter(
            self.context.name,
            key.decode(errors="replace"),
            identity.decode(errors="replace"),
            way.name.lower(),
            text(headers.get(TYPE)) or "?",
            text(headers.get("dlq-exception-class")) or "?",
            text(headers.get("dlq-exception-message")) or "",
            self.queues.status(key, command_name(way, identity)),
            f"{when(record.timestamp):%Y-%m-%d %H:%M:%S}",
            place_of(record),
            record,
        )

    def history(self, letter: Letter) -> list[str]:
        return self.queues.history.get(((letter.record.key or b""), letter.command), [])

    def _way(self, record: Read) -> Way:
        return Way.OWN if dict(record.headers).get("dlq-original-topic") == self._own else Way.COMMANDS

    def redrive(self, letters: Sequence[Letter], patience: float) -> dict[str, str]:
        """Send these again, in the order of their keys' queues; what became of each by id, `waiting` if that takes too long."""
        in_order = self._in_order(letters)
        post_all(self._settings, self._mesh, [_again(letter) for letter in in_order])
        return self._outcomes(in_order, patience)

    def discard(self, letter: Letter, reason: str, patience: float) -> str:
        """Never process this one; what became of it."""
        headers = command_headers(DISCARD.decode(), letter.id)
        value = json.dumps({"reason": reason}).encode()
        post_all(self._settings, self._mesh, [Asked(_topic(letter), letter.key, value, headers, letter.id)])
        return self._outcomes([letter], patience)[letter.id]

    def _in_order(self, letters: Sequence[Letter]) -> list[Letter]:
        known = {(letter.record.key or b"", letter.command): letter for letter in letters}
        return [
            known[key, command]
            for key, queue in self.queues.waiting.items()
            for command in queue
            if (key, command) in known
        ]

    def _outcomes(self, letters: Sequence[Letter], patience: float) -> dict[str, str]:
        """Follow the events until every letter has an answer, by id, or its key's head was rejected again."""
        outcomes = {letter.id: "waiting" for letter in letters}
        known = {(letter.record.key or b"", letter.command): letter.id for letter in letters}
        open_: dict[bytes, set[CommandName]] = {}
        for key, command in known:
            open_.setdefault(key, set()).add(command)
        deadline = time.monotonic() + patience
        with reading.opened(self._settings) as client:
            reading.assign(client, self._ends)
            while open_ and time.monotonic() < deadline:
                for key, command, event in self.queues.fold(reading.poll(client, 1000, 0.2)[0]):
                    if (identity := known.get((key, command))) is None:
                        continue
                    if isinstance(event, Rejected):
                        outcomes[identity] = f"rejected again: {event.code}: {event.reason}"
                        open_.pop(key, None)
                    else:
                        outcomes[identity] = "discarded" if isinstance(event, Discarded) else "processed"
                        open_.get(key, set()).discard(command)
                        if not open_.get(key, True):
                            open_.pop(key)
        return outcomes


def _topic(letter: Letter) -> str:
    """Where it came from."""
    return (dict(letter.record.headers).get("dlq-original-topic") or b"").decode()


def _again(letter: Letter) -> Asked:
    headers = [
        (name, value or b"") for name, value in letter.record.headers if not name.startswith(PREFIX) and name != ID
    ]
    value = letter.record.value or b""
    if any(name == "dlq-withheld" for name, _ in letter.record.headers):
        raise Unusable(
            f"{letter.id} named a person in plain, so nobody kept it: send it again with `weft send --id {letter.id}`, or discard it"
        )
    return Asked(_topic(letter), letter.key, value, [*headers, (ID, letter.id.encode())], letter.id)


def _id(record: Read) -> bytes:
    """The id a letter's command goes by: its own, or its first place in the commands topic."""
    headers = dict(record.headers)
    own = headers.get(ID)
    if own and len(own) <= 255:
        return own
    place = (headers.get(f"dlq-original-{part}") or b"" for part in ("topic", "partition", "offset"))
    return b"/".join(place)
