"""How far a context's policy has heard the topics it listens to: positions in the compacted topic `weft.heard`.

A position is written after the acknowledgements of everything that was asked because of it. So it may be too low, which
costs asking once more what the marks of the asked tell apart, and it is never too high. Group offsets are not read.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from infra.wire.record import Outgoing, Record

Place = tuple[str, int]  # topic, partition


@dataclass(frozen=True)
class Listener:
    """A context as it listens: where it posts what it asks itself, and Kafka's ids of that topic and of those it hears.

    The ids are in the keys of positions, so that a topic that was made anew, or grew into another, is another topic.
    """

    context: str
    own_topic_id: str
    topic_ids: Mapping[str, str]

    def key(self, place: Place) -> bytes:
        topic, partition = place
        return f"{self.own_topic_id}/{self.topic_ids[topic]}/{partition}".encode()

    def record(self, place: Place, offset: int) -> Outgoing:
        """A position: everything before `offset` was heard. What is in it beside the offset is for people."""
        topic, partition = place
        said = {"context": self.context, "topic": topic, "partition": partition, "offset": offset}
        return Outgoing(self.key(place), json.dumps(said).encode(), [])


def positions(records: Iterable[Record]) -> dict[bytes, int]:
    """The last position under each key."""
    said = {record.key or b"": json.loads(record.value or b"{}") for record in records}
    return {key: position["offset"] for key, position in said.items() if isinstance(position, dict) and position}


class Heard:
    """The positions of one process."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._known: dict[bytes, int] = {}
        self._unsaved: dict[Place, int] = {}
        self._saving: dict[Place, int] = {}

    def load(self, records: Iterable[Record]) -> None:
        """Know what `weft.heard` says, and forget what this process has not written there."""
        self._known = positions(records)
        self._unsaved, self._saving = {}, {}

    def position(self, place: Place) -> int:
        """Where to go on; at the beginning if nothing was ever heard of this topic."""
        return self._known.get(self._listener.key(place), 0)

    def note(self, place: Place, offset: int) -> None:
        """Everything before `offset` was heard, and what was asked because of it is in its topic."""
        self._unsaved[place] = offset

    def unsaved(self) -> list[Outgoing]:
        """The positions to be written; they count as written from now on, unless that fails or they are noted again."""
        self._saving, self._unsaved = self._unsaved, {}
        return [self._listener.record(place, offset) for place, offset in self._saving.items()]

    def not_saved(self) -> None:
        """What was to be written last is not known to be there."""
        self._unsaved, self._saving = self._saving | self._unsaved, {}
