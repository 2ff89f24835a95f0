"""What is kept of every message beside its code: its schema's id in the lock, and an event's name in the change log."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from infra.mesh import Mesh
from infra.wire.schemas import lock_text, read_lock, with_ids

EVENTS = "### Events\n"


def locked(mesh: Mesh, new: Mapping[Path, str]) -> dict[Path, str]:
    """The lock, with ids for the schemas among the new files."""
    schemas = [json.loads(text) for file, text in new.items() if file.suffix == ".avsc"]
    current = {f"{schema['namespace']}.{schema['name']}": schema for schema in schemas}
    file = mesh.vocabulary.schemas.lock_file
    return {file: lock_text(with_ids(read_lock(file), current, 1, mesh.vocabulary.schemas.locked()))}


def told(mesh: Mesh, context: str, event: str) -> dict[Path, str]:
    """The change log with the event in the context's line, if there is a change log that lists events."""
    file = mesh.vocabulary.schemas.root.with_name("CHANGELOG.md")
    before, heading, listed = (file.read_text() if file.exists() else "").partition(EVENTS)
    if not heading:
        return {}
    more, count = re.subn(rf"^(- {context}: .*)\.$", rf"\1, {event}.", listed, count=1, flags=re.MULTILINE)
    return {file: before + heading + (more if count else f"- {context}: {event}.\n{listed}")}
