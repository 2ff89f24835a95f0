"""`weft watch`, `log`, `sql`, `mail`, `map` and `schemas`: looking at the mesh."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from cyclopts import App

from infra.cli.console import DONE, FAILED, Flag, Json, err, out, reached, settings, the_mesh
from infra.errors import Unusable
from infra.kafka import reading
from infra.mesh import Vocabulary
from infra.messages import RUNTIME
from infra.ops import catalogue, recording
from infra.ops.interrupts import stop_signals
from infra.ops.map import mermaid_map, text_map
from infra.ops.setup import registered
from infra.read.rebuild import asof
from infra.settings import Settings
from infra.wire.avro import Codec
from infra.wire.compatibility import incompatible
from infra.wire.envelope import CAUSATION, EXPECTED_OFFSET, TYPE, Way, accepted, meta, way_of
from infra.wire.record import Read, partition_of, place_of, text, unreadable, when
from infra.wire.sealing import is_sealed

UNDOING = ("Cancelled", "Declined", "Void", "Failed")


def watch(order: str | None = None, /, *, json_: Json = False) -> int:
    """Events of all contexts as they happen, one line each; of one ORDER also what happened before.

    Refusals and compensation are marked. Ctrl-C ends it.

    Example: `weft watch order-1`

    Parameters
    ----------
    order
        Only what happens to this aggregate, or names it as its order.
    """
    s, mesh = reached()
    with reading.opened(s) as client:
        places = reading.partitions_of(client, [c.events_topic for c in mesh.contexts.values()])
        ends = reading.ends(client, places)
        with stop_signals() as stopping:
            if order is not None:
                past = (record for batch in reading.read_all(client, {}, ends) for record in batch)
                for record in sorted(past, key=lambda r: r.timestamp):
                    _say_event(mesh.codec, record, order, json_)
            reading.assign(client, ends)
            while not stopping():
                for record in reading.poll(client, 1000, 0.2)[0]:
                    _say_event(mesh.codec, record, order, json_)
    return DONE


def _decoded(codec: Codec, record: Read) -> Any:
    """The event of an accepted record. OfNewerCode or LogDamaged if this code cannot read it."""
    try:
        return codec.decode(record.value or b"")
    except ValueError as error:
        raise unreadable(place_of(record), error) from error


def _say_event(codec: Codec, record: Read, order: str | None, as_json: bool) -> None:
    headers = dict(record.headers)
    if not accepted(headers, record.offset):
        return
    event, m = _decoded(codec, record), meta(record, headers)
    if order is not None and order not in (m.subject, getattr(event, "order_id", None)):
        return
    content = asdict(event)
    if as_json:
        out.print(
            json.dumps({"at": m.at.isoformat(), "type": m.type, "subject": m.subject, "id": m.id, "event": content}),
            markup=False,
        )
        return
    told = " ".join(
        f"{name}={_open(value)}"
        for name, value in content.items()
        if value not in (m.subject, "") and not isinstance(value, tuple | list)
    )
    no = isinstance(event, RUNTIME)
    style, mark = ("yellow", "✗") if no else ("red", "↶") if any(word in m.type for word in UNDOING) else ("", " ")
    kind = f"{m.context}: {m.command_type} {type(event).__name__.lower()}" if no else m.type
    out.print(f"{m.at:%H:%M:%S.%f}"[:12] + f" {mark} {kind:34} {m.subject}  {told}"[:400], style=style, markup=False)
    sys.stdout.flush()


def _open(value: Any) -> Any:
    """What a person can read of a value."""
    return "(sealed)" if isinstance(value, str) and is_sealed(value) else value


def log(
    context: str,
    aggregate: str,
    /,
    *,
    as_of: str | None = None,
    raw: Flag = False,
    json_: Json = False,
) -> int:
    """An aggregate's events and the state they fold to, read from the topic; --raw shows void records too.

    Example: `weft log orders order-1`

    Example: `weft log orders order-1 --as-of 2026-11-01T12:00Z` for what was recorded by then, and the state it had

    Parameters
    ----------
    context
        The context whose log it is in.
    aggregate
        The aggregate's id.
    as_of
        A moment, in UTC unless it says otherwise: only what was recorded by then.
    raw
        Show void records too, which do not count.
    """
    at = asof.moment(as_of) if as_of else None
    s, mesh = reached()
    c = mesh.context(context)
    key = aggregate.encode()
    states, count = {a.name: a.initial for a in c.aggregates}, 0
    for record in _partition(s, c.events_topic, key):
        if record.key != key:
            continue
        headers = dict(record.headers)
        counts = accepted(headers, record.offset)
        if (not counts and not raw) or (at and when(record.timestamp) > at):
            continue
        event = _decoded(mesh.codec, record) if counts else None  # what does not count may be anything
        if counts:
            count += 1
            for a in c.aggregates:
                if type(event) in a.events:
                    states[a.name] = a.evolve(states[a.name], event)
        _say_record(record, headers, event, counts, json_)
    if not count:
        err.print(
            f"{c.events_topic} has no event of {aggregate!r}{f' by {at.isoformat()}' if at else ''}", markup=False
        )
        return FAILED
    if not json_:
        for a in c.aggregates:
            if states[a.name] != a.initial:
                out.print(f"{a.name if len(states) > 1 else 'state'}  {states[a.name]}", markup=False)
    return DONE


def _partition(s: Settings, topic: str, key: bytes) -> Iterator[Read]:
    with reading.opened(s) as client:
        places = reading.partitions_of(client, [topic])
        if not places:
            raise Unusable(f"the topic {topic} does not exist; create the mesh's topics with `weft setup`")
        place = (topic, partition_of(key, len(places)))
        for batch in reading.read_all(client, {}, reading.ends(client, [place])):
            yield from batch


def _say_record(record: Read, headers: dict[str, bytes | None], event: Any, counts: bool, as_json: bool) -> None:
    place = place_of(record)
    kind, command = (text(headers.get(name) or b"?") or "?" for name in (TYPE, CAUSATION))
    way = way_of(headers)
    if as_json:
        content = {
            "place": place,
            "accepted": counts,
            "at": when(record.timestamp).isoformat(),
            "type": kind,
            "command_id": command,
            "way": way.name.lower(),
            "event": asdict(event) if counts else None,
        }
        out.print(json.dumps(content), markup=False)
    else:
        void = "" if counts else f"  VOID: expected at {text(headers.get(EXPECTED_OFFSET)) or '?'}"
        told = " ".join(f"{f.name}={_open(getattr(event, f.name))!r}" for f in fields(event)) if counts else ""
        out.print(
            f"{when(record.timestamp):%Y-%m-%d %H:%M:%S.%f}"[:23]
            + f"  {place}  {kind}  by {'itself, ' if way is Way.OWN else ''}{command}{void}\n    {told}",
            style="" if counts else "dim",
            markup=False,
        )


def map_(*, mermaid: Flag = False) -> int:
    """Who is asked what, who says what, who listens to whom: read from the code.

    Example: `weft map --mermaid`

    Parameters
    ----------
    mermaid
        Print a Mermaid flow chart instead.
    """
    mesh = the_mesh(settings())
    print(mermaid_map(mesh) if mermaid else text_map(mesh))
    return DONE


def catalog(name: str | None = None, /, *, json_: Json = False) -> int:
    """Every topic, command, event, projection, view and column, with its meaning and its owner; or those whose name has NAME in it.

    Example: `weft catalog orders.OrderPlaced`

    Example: `weft catalog --json`

    Parameters
    ----------
    name
        Part of a name; everything by default.
    """
    s = settings()
    found = [
        e for e in catalogue.entries(s, registered(s, the_mesh(s))) if name is None or name.lower() in e.name.lower()
    ]
    for entry in found:
        if json_:
            out.print(json.dumps(asdict(entry)), markup=False)
        else:
            _say_entry(entry)
    if not found:
        err.print(f"nothing has {name!r} in its name; `weft catalog` lists everything", markup=False)
        return FAILED
    return DONE


def export(directory: Path, /, *contexts: str, json_: Json = False) -> int:
    """Events as Parquet files, for notebooks: a run writes what came since the last one. What names a person is left empty.

    Example: `weft export history` and `weft export history orders payments`

    Parameters
    ----------
    directory
        Where the files go, a folder a context.
    contexts
        Whose events; every context's by default.
    """
    from infra.read import export as files  # Parquet, which only this needs

    s, mesh = reached()
    chosen = [mesh.context(name) for name in contexts] or list(mesh.contexts.values())
    count = 0
    with stop_signals() as stopping:
        for file, events in files.export(s, mesh, directory, chosen, stopping):
            count += events
            out.print(
                json.dumps({"file": str(file), "events": events}) if json_ else f"{file}: {events} events", markup=False
            )
        if stopping():
            err.print("stopped; the same command goes on where it was", markup=False)
            return 130
    if not json_:
        out.print(f"{count} events written" if count else "nothing has come since the last time", markup=False)
    return DONE


def _say_entry(entry: catalogue.Entry) -> None:
    number = f", schema id {entry.schema_id}" if entry.schema_id is not None else ""
    out.print(f"{entry.kind} {entry.name}  ({entry.owner}{number})", style="bold", markup=False)
    if entry.meaning:
        out.print(f"    {entry.meaning}", markup=False)
    if entry.heard_by:
        out.print(
            f"    {'reads' if entry.kind == 'projection' else 'read by'} {', '.join(entry.heard_by)}", markup=False
        )
    width = max(map(len, entry.fields), default=0)
    for field_name, (kind, meaning) in entry.fields.items():
        out.print(f"    {field_name:{width}}  {kind}{'  ' if kind and meaning else ''}{meaning}".rstrip(), markup=False)


schemas = App(
    name="schemas",
    help="""The Avro schemas of all commands and events, and their lock.

    Example: `weft schemas check`
    """,
)


@schemas.command(name="lock")
def lock_() -> int:
    """Give every new or changed schema an id in schemas/lock.json. What is locked never changes.

    Example: `weft schemas lock`
    """
    words = the_mesh(settings()).vocabulary
    if broken := _incompatible(words):
        return _refused(broken)
    added = words.schemas.lock(words.current)
    out.print(f"locked {', '.join(added)}" if added else "every schema is locked", markup=False)
    return DONE


@schemas.command
def check(*, log: Path | None = None) -> int:
    """Whether today's code reads everything that was ever written, and every schema is locked as it is now. Exit 1 if not.

    Example: `weft schemas check --log recorded.jsonl.gz`

    Parameters
    ----------
    log
        A recorded log to decode and fold as well; `weft schemas record` makes one.
    """
    s = settings()
    mesh = registered(s, the_mesh(s))
    if broken := _incompatible(mesh.vocabulary):
        return _refused(broken)
    out.print(f"{len(mesh.codec.types)} schemas are locked as they are, and read every older version", markup=False)
    if log is not None:
        for folded in recording.check(mesh, log):
            out.print(str(folded), markup=False)
    return DONE


@schemas.command
def record(file: Path, /) -> int:
    """Write every event of the mesh to a file, for `weft schemas check --log`.

    Example: `weft schemas record recorded.jsonl.gz`

    Parameters
    ----------
    file
        The file to write; it is gzipped.
    """
    s, mesh = reached()
    count = recording.record(s, mesh, file)
    out.print(f"{count} records of events topics are in {file}", markup=False)
    return DONE


def _incompatible(words: Vocabulary) -> list[str]:
    return incompatible(words.current, words.ids, words.upcasts)


def _refused(broken: list[str]) -> int:
    for line in broken:
        err.print(line, style="red", markup=False)
    err.print(
        "events are for ever: add fields with defaults, or write an upcast (see infra/wire/compatibility.py)",
        markup=False,
    )
    return FAILED
