"""What a command says, in eight bytes: another digest under the same id is another command.

It is of the message and not of its bytes, so that the same in another encoding is the same. A field at its default says
nothing, so that a command that is sent again after its type has got another field is still the same.
"""

from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, get_args, get_type_hints

SIZE = 8  # bytes: an id stands for two contents by mistake or by guile, and who finds two of one digest cheats himself only


def digest_of(type_name: bytes, message: Any) -> bytes:
    """Of a command; what is sealed in it counts as it is sealed."""
    said = ascii(_said(message)).encode()  # which every version of Python writes the same, and faster than JSON
    return blake2b(type_name + b"\0" + said, digest_size=SIZE).digest()


def _said(message: Any) -> dict[str, Any]:
    """What its fields say, in an order that has nothing to do with how they are declared."""
    t: type = type(message)
    given, (names, defaults, nested) = message.__dict__, _shape(t)
    said = {name: given[name] for name in names}
    for name in nested:
        said[name] = list(map(_said, given[name]))
    for name, default in defaults:
        if given[name] == default:
            del said[name]
    return said


@cache
def _shape(t: type) -> tuple[list[str], list[tuple[str, Any]], list[str]]:
    """The fields of a type of message: all names, those that have a default, and those that are tuples of messages."""
    hints = get_type_hints(t)
    names = sorted(field.name for field in fields(t))
    defaults = [(field.name, _default(field)) for field in fields(t) if not _is_required(field)]
    return names, defaults, [name for name in names if any(map(is_dataclass, get_args(hints[name])))]


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
