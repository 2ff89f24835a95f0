"""The Avro schemas of a mesh: a file a message type, and a lock that says under which id each was ever written.

An application's are in a folder of its own, `<context>/<message>.avsc` with a lock.json beside the contexts; what every
context says (`weft.Refused`) is the library's, with a lock of its own.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from infra import messages
from infra.errors import Unusable

Node = Any  # the JSON of a schema

OWN = Path(messages.__file__).parent
OWN_IDS = 1 << 30  # the library's next ids are from here on, so that an application's never meet them
NAMESPACE = "weft"
TAGS = ("doc", "pii", "digest_of", "withheld")  # what a schema says beside how its bytes are read


@dataclass(frozen=True)
class Locked:
    """A schema that was ever written: its id is in the records for ever."""

    id: int
    name: str
    fingerprint: str
    schema: Node


def fingerprint(schema: Node) -> str:
    """SHA-256 of the schema's canonical JSON; default values count, since they decide what an old record means."""
    return sha256(json.dumps(schema, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def untagged(schema: Node) -> Node:
    """The schema without its tags: what is the same then is read the same."""
    if isinstance(schema, dict):
        return {name: untagged(part) for name, part in schema.items() if name not in TAGS}
    return [untagged(part) for part in schema] if isinstance(schema, list) else schema


def spelled_out(schema: Node) -> Node:
    """The schema with every record written out wherever it is named: whoever looks for tags finds them at each place."""
    return _spelled_out(schema, "", {})


def _spelled_out(node: Node, namespace: str, known: dict[str, Node]) -> Node:
    if isinstance(node, str):
        return known.get(node) or known.get(f"{namespace}.{node}", node)
    if isinstance(node, list):
        return [_spelled_out(part, namespace, known) for part in node]
    if not isinstance(node, dict):
        return node
    space, _, short = node.get("name", "").rpartition(".")
    inner = space or node.get("namespace", namespace)
    parts = {p: _spelled_out(node[p], inner, known) for p in ("type", "items", "values", "fields") if p in node}
    whole = {**node, **parts}
    if "fields" in node:
        known[f"{inner}.{short}".lstrip(".")] = whole
    return whole


def first_id(locked: Mapping[int, Locked], name: str, schema: Node) -> int | None:
    """The oldest id under which bytes of this schema were ever written: tags change nothing that older code has to read."""
    plain = untagged(schema)
    return min((i for i, e in locked.items() if e.name == name and untagged(e.schema) == plain), default=None)


@dataclass(frozen=True)
class Schemas:
    """The schemas of one mesh; `root` is the application's folder."""

    root: Path

    def file(self, name: str) -> Path:
        """Where the schema of `orders.OrderPlaced` is: order_placed.avsc in the folder of its context."""
        namespace, _, short = name.rpartition(".")
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", short).lower()
        return (OWN if namespace == NAMESPACE else self.root / namespace) / f"{snake}.avsc"

    def current(self, name: str) -> Node:
        """The schema of a message type as its file has it; Unusable if there is none, or it is no JSON."""
        file = self.file(name)
        try:
            return json.loads(file.read_text())
        except FileNotFoundError:
            raise Unusable(
                f"{name} has no schema: write {file}, one field for each of the dataclass's, in its order"
            ) from None
        except ValueError as error:
            raise Unusable(f"{file} is not JSON: {error}") from error

    @property
    def lock_file(self) -> Path:
        return self.root / "lock.json"

    def locked(self) -> dict[int, Locked]:
        """Every locked schema by id: the library's and the application's."""
        return read_lock(OWN / "lock.json") | read_lock(self.lock_file)

    def lock(self, names: Iterable[str]) -> list[str]:
        """Give every schema that is not locked as it is now the next id; returns their names. What is locked never changes."""
        added = []
        for file, first, own in ((OWN / "lock.json", OWN_IDS, True), (self.lock_file, 1, False)):
            mine = {n: self.current(n) for n in names if n.startswith(f"{NAMESPACE}.") is own}
            added += lock_in(file, mine, first, self.locked())
        return added


def read_lock(file: Path) -> dict[int, Locked]:
    """The locked schemas of one file by id; none if it is not there, and Unusable if it is torn."""
    try:
        entries = json.loads(file.read_text()) if file.exists() else {}
        return {int(i): Locked(int(i), e["name"], e["fingerprint"], e["schema"]) for i, e in entries.items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise Unusable(
            f"{file} is torn: {type(error).__name__}: {error}. Restore it from version control: its ids are in the records for ever"
        ) from error


def lock_in(file: Path, current: Mapping[str, Node], first: int, others: Mapping[int, Locked]) -> list[str]:
    """Lock these schemas in one file, under ids from `first` on that nobody has; returns the names that are new."""
    lock = read_lock(file)
    locked = with_ids(lock, current, first, others)
    if len(locked) > len(lock):
        file.write_text(lock_text(locked))
    return [entry.name for number, entry in locked.items() if number not in lock]


def with_ids(
    lock: Mapping[int, Locked], current: Mapping[str, Node], first: int, others: Mapping[int, Locked]
) -> dict[int, Locked]:
    """What a lock knows, and these schemas under ids from `first` on that nobody has."""
    locked = dict(lock)
    for name, schema in current.items():
        if first_id(locked, name, schema) is None:
            number = max([first - 1, *(i for i in (*locked, *others) if (i >= OWN_IDS) == (first >= OWN_IDS))]) + 1
            locked[number] = Locked(number, name, fingerprint(schema), schema)
    return locked


def lock_text(locked: Mapping[int, Locked]) -> str:
    """A lock as its file has it."""
    entries = {
        str(i): {"name": e.name, "fingerprint": e.fingerprint, "schema": e.schema} for i, e in sorted(locked.items())
    }
    return json.dumps(entries, indent=1) + "\n"
