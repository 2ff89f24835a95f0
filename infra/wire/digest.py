"""What a command says, in eight bytes: another digest under the same id is another command.

It is of the message and not of its bytes, so that the same in another encoding is the same. A field at its default says
nothing, so that a command that is sent again after its type has got another field is still the same.
"""

from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, get_args, get_type_hints

SIZE = 8  # bytes: an id stands for two contents by mistake or by guile, and who finds two of one digest cheats himself only

# Every command is told, so what tells it is written out per type, as dataclasses does its own: that takes a quarter of the time.
MESSAGE = "def tell(message):\n    of = message.__dict__\n    return '{FORMS}' % (VALUES)"
REQUIRED = "NAME=%a;", "of['NAME']"  # in ASCII, as every version of Python writes it
MESSAGES = "NAME=[%s];", "''.join([tell_NAME(item) for item in of['NAME']])"
APART = (
    "NAME=[%s];",
    "''.join([tell_NAME(item) + '|' for item in of['NAME']])",
)  # where no field shows that the next begins
OPTIONAL = "%s", "'' if of['NAME'] == default_NAME else 'FORM' % (VALUE,)"


def digest_of(type_name: bytes, message: Any) -> bytes:
    """Of a command; what is sealed in it counts as it is sealed."""
    t: type = type(message)
    return blake2b(type_name + b"\0" + _teller(t)(message).encode(), digest_size=SIZE).digest()


@cache
def _teller(t: type) -> Callable[[Any], str]:
    """What a message of this type says, its fields in the order of their names."""
    known: dict[str, Any] = {}
    told = [_told(t, field, known) for field in sorted(fields(t), key=lambda field: field.name)]
    forms, values = "".join(form for form, _ in told), "".join(f"{value}, " for _, value in told)
    exec(MESSAGE.replace("FORMS", forms).replace("VALUES", values), known)  # noqa: S102 (the names are those of a dataclass's fields)
    tell: Callable[[Any], str] = known["tell"]
    return tell


def _told(t: type, field: Field[Any], known: dict[str, Any]) -> tuple[str, str]:
    """The form of what one field says, and the expression of what stands there; what that has to know is put there."""
    name, (form, value) = field.name, REQUIRED
    for item in get_args(get_type_hints(t)[name]):
        if isinstance(item, type) and is_dataclass(item):
            (form, value), known[f"tell_{name}"] = (
                APART if all(map(_is_optional, fields(item))) else MESSAGES,
                _teller(item),
            )
    if _is_optional(field):
        said, form = form, OPTIONAL[0]
        value = OPTIONAL[1].replace("FORM", said).replace("VALUE", value)
        known[f"default_{name}"] = field.default if field.default_factory is MISSING else field.default_factory()
    return form.replace("NAME", name), value.replace("NAME", name)


def _is_optional(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING
