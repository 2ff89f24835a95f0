"""What a projection makes of records: facts by the batch, then rows. Pure.

A batch is decoded by columns, and the headers of an event are read when its projection asks for what they say.
tests/infra/test_fold.py holds that against one record at a time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infra.errors import Unwritable
from infra.kafka.reading import Place
from infra.messages import LOG_KEEPING, Meta
from infra.model.projection import Projection
from infra.wire.avro import Codec
from infra.wire.envelope import EXPECTED_OFFSET, is_accepted, meta
from infra.wire.record import Read, place_of, unreadable, when
from infra.wire.schemas import NAMESPACE

NUL = "\x00"
LOG_KEEPING_NAMES = [f"{NAMESPACE}.{t.__name__}" for t in LOG_KEEPING]  # no rows are made of these
Fact = tuple[str, Any, Meta]  # row id, event, and what is known of it


@dataclass(frozen=True)
class Batch:
    """What was read at once: the facts in it, the position behind it, and when the last of each partition was recorded."""

    facts: list[Fact]
    positions: Mapping[Place, int]
    recorded: Mapping[Place, datetime]


class Fold:
    """Rows in memory: what a batch of events makes of the rows it touches."""

    def __init__(self, projection: Projection, codec: Codec) -> None:
        self._projection = projection
        self._codec = codec
        names = {codec.names[event] for event in projection.events}
        wanted = codec.prefixes(names or codec.names.values()) - codec.prefixes(LOG_KEEPING_NAMES)
        self.unwanted = codec.known - wanted  # what values begin with that are passed over

    def facts(self, records: Iterable[Read]) -> list[Fact]:
        """Every accepted event this projection reads; LogDamaged if one cannot be read, OfNewerCode if this code does not know it."""
        unwanted = self.unwanted
        chosen = [r for r in records if (r.value or b"")[:5] not in unwanted and is_accepted(r)]
        moments = {at: when(at) for at in {r.timestamp for r in chosen}}
        row_id, decode = self._projection.row_id, self._codec.decode
        facts: list[Fact] = []
        for record, ready in zip(chosen, self._codec.decode_many([r.value for r in chosen]), strict=True):
            try:
                event = decode(record.value or b"") if ready is None else ready
                m = recorded(record, moments[record.timestamp])
                facts.append((storable(row_id(event, m)), event, m))
            except (ValueError, KeyError) as error:
                raise unreadable(place_of(record), error) from error
        return facts

    def batch(self, records: Sequence[Read], positions: Mapping[Place, int]) -> Batch:
        """The facts of these records with where they leave their reader."""
        last = {(r.topic, r.partition): r.timestamp for r in records}
        return Batch(self.facts(records), positions, {place: when(at) for place, at in last.items()})

    def apply(self, rows: dict[str, Any], facts: Iterable[Fact]) -> None:
        """Fold the facts into `rows`, in place; None marks a row that is gone. Unwritable names the event that it fails at."""
        project = self._projection.project
        get = rows.get
        for row_id, event, m in facts:
            try:
                rows[row_id] = project(get(row_id), event, m)
            except Exception as error:
                raise Unwritable(f"{self._projection.name} cannot be made of {m.id}: {error!r}") from error


class Recorded(Meta):
    """A Meta that reads its record's headers when somebody asks for more than the time: most events are asked for nothing else."""

    def __getattr__(self, name: str) -> Any:
        record = self.__dict__.pop("_record", None)
        if record is None:
            raise AttributeError(name)
        self.__dict__.update(meta(record, dict(record.headers)).__dict__)
        return getattr(self, name)


def recorded(record: Read, at: datetime) -> Meta:
    """The same as `envelope.meta`, later."""
    m: Meta = _new(Recorded)
    _assign(m, "__dict__", {"at": at, "_record": record})
    return m


_new: Any = Meta.__new__
_assign = object.__setattr__


def one_by_one(projection: Projection, codec: Codec, records: Iterable[Read]) -> Iterator[Fact]:
    """The facts of a log, one record at a time and by nothing that the fast way uses: what that has to agree with."""
    wanted = {codec.names[event] for event in projection.events}
    for record in records:
        headers = dict(record.headers)
        if headers.get(EXPECTED_OFFSET) != str(record.offset).encode():
            continue
        m = meta(record, headers)
        if m.type in wanted or (not wanted and m.type not in LOG_KEEPING_NAMES):
            event = codec.decode(record.value or b"")
            yield storable(projection.row_id(event, m)), event, m


def stored(projection: Projection, row: Any) -> Any:
    """The row as it comes back from Postgres."""
    return projection.row(**{column: storable(getattr(row, column)) for column in projection.columns})


def storable(value: Any) -> Any:
    """Postgres has no NUL in text; an event may."""
    return value.replace(NUL, "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) and NUL in value else value


def values(projection: Projection, rows: Iterable[Any]) -> list[tuple[Any, ...]]:
    """The rows as Postgres takes them, in the order of the columns."""
    tuples = [tuple(row.__dict__.values()) for row in rows]
    for i, kind in enumerate(projection.column_types):
        if kind == "text" and NUL in "".join([row[i] or "" for row in tuples]):
            return [tuple(map(storable, row)) for row in tuples]
    return tuples
