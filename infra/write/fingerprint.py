"""What a folded state depends on. State of another fingerprint is folded anew from the log."""

import json
import sys
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from infra import messages, model, wire, write
from infra.model.context import Context
from infra.wire.avro import Codec

RUNTIME_CODE = (messages, model, wire, write)  # packages; what hosts a context decides no state


def fingerprint(context: Context, codec: Codec) -> bytes:
    """Of the code of deciders and messages, wherever it lies, of schemas, the runtime and the interpreter; in hex."""
    types = (*context.commands, *context.events)
    deciders = frozenset(a.decide.__module__ for a in context.aggregates)
    targets = context.target.__module__  # an intent's line is computed anew
    digest = sha256(_code(context.name, deciders | {targets}, frozenset(t.__module__ for t in types)))
    for name in sorted(codec.names[t] for t in types):
        digest.update(json.dumps(codec.schemas[name]).encode() + b"\0")
    return digest.hexdigest().encode()


@cache
def _code(context: str, deciders: frozenset[str], said: frozenset[str]) -> bytes:
    """As it was when it was first asked for: what is changed beneath a running process is not what it runs."""
    files = {file for name in deciders | said for file in _code_of(sys.modules[name], context)}
    files |= {file for name in said for file in _package_of(sys.modules[name])}
    files |= {file for package in RUNTIME_CODE for file in Path(str(package.__file__)).parent.glob("*.py")}
    digest = sha256(sys.version.encode())
    for content in sorted(file.read_bytes() for file in files):
        digest.update(content + b"\0")
    return digest.digest()


def _code_of(module: ModuleType, context: str) -> list[Path]:
    """The code of the package a context has for itself, or of the module alone where it has none."""
    file = Path(str(module.__file__))
    own = next((folder for folder in file.parents if folder.name == context), None)
    return list(own.rglob("*.py")) if own else [file]


def _package_of(module: ModuleType) -> Iterator[Path]:
    """All code beside a message: helpers, and records in its fields."""
    top = sys.modules[module.__name__.partition(".")[0]]
    for folder in top.__path__:
        yield from Path(folder).rglob("*.py")
