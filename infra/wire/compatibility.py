"""Whether today's code still reads everything that was ever written: BACKWARD_TRANSITIVE, by Apache Avro's own rules.

What Avro's resolution cannot read needs an upcast, a plain function in `schemas/<context>/upcasting.py`:

    UPCASTS = {17: lambda old: OrderPlaced(**old, currency="EUR")}     # locked schema id: record as written -> message
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from infra.wire.schemas import Locked, Node, fingerprint

Upcast = Callable[[dict[str, Any]], Any]


def incompatible(current: Mapping[str, Node], locked: Mapping[int, Locked], upcasts: Mapping[int, Upcast]) -> list[str]:
    """What was locked and cannot be read as what its type is today, as sentences; `current` is the schemas by type name."""
    complaints = []
    for number, old in sorted(locked.items()):
        if number in upcasts:
            continue
        schema = current.get(old.name)
        if schema is None:
            complaints.append(
                f"{old.name} (schema id {number}) was written and is no longer in the code: keep it, or upcast it"
            )
        elif fingerprint(schema) != old.fingerprint and (why := _cannot_read(schema, old.schema)):
            complaints.append(f"{old.name} cannot read what schema id {number} wrote: {why}")
    complaints += [
        f"the upcast of schema id {n} has nothing to upcast: it is not locked" for n in upcasts.keys() - locked.keys()
    ]
    return complaints


def _cannot_read(reader: Node, writer: Node) -> str:
    """Why not; empty if it can."""
    parsed: list[Any] = [avro.schema.parse(json.dumps(schema)) for schema in (reader, writer)]
    result = ReaderWriterCompatibilityChecker().get_compatibility(*parsed)  # type: ignore[no-untyped-call]
    if result.compatibility is SchemaCompatibilityType.compatible:
        return _first_field_moved(reader, writer)
    kinds = ", ".join(kind.value.replace("_", " ") for kind in result.incompatibilities)
    return f"{kinds} at {', '.join(sorted(result.locations))} ({', '.join(sorted(result.messages))})"


def _first_field_moved(reader: Node, writer: Node) -> str:
    """The first field is the aggregate's id and the record's key; Avro does not know that."""
    ids = [schema["fields"][0]["name"] if schema["fields"] else "" for schema in (reader, writer)]
    return "" if ids[0] == ids[1] else f"its id is {ids[0]!r} and was {ids[1]!r}"
