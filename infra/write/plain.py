"""Values of a store: a message of plain fields as plain data, for which marshal takes a fifth of pickle's time.

Whatever is not plain is pickled, and the first byte says which it was. Neither is kept longer than the code that wrote it,
nor than its interpreter: the fingerprint of a store names both.
"""

import importlib
import marshal
import pickle
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from infra.wire.columns import constructor

SCALARS = frozenset((str, bytes, int, bool, float, NoneType))
WITHOUT_REFERENCES = 2  # of marshal's formats: looking for what was written before takes longer than to write it again
OTHER = "other"  # the form of a field that says little of its type
PICKLED = 0x80  # what no value of that format begins with, and every pickle does

# As in infra/wire/digest.py, what every command passes is written out per type.
FLAT = "def flat(message):\n    return (HEAD)"
ROW = "def row(message):\n    if message.__class__ is not t:\n        raise ValueError\n    return (ROW)"


def value_of(thing: Any, beside: Any = None) -> bytes:
    """Of a thing, and of what marshal takes as it is."""
    t: type = type(thing)
    try:
        return marshal.dumps((_flattener(t)(thing), beside), WITHOUT_REFERENCES)
    except ValueError:
        return pickle.dumps((thing, beside), 5)


def both_in(value: bytes) -> tuple[Any, Any]:
    """The thing, and what was put beside it."""
    if value[0] == PICKLED:
        both: tuple[Any, Any] = pickle.loads(value)  # noqa: S301 (our own store, readable by its user only)
        return both
    data, beside = marshal.loads(value)  # noqa: S302 (likewise)
    return _message(data), beside


def thing_of(value: bytes) -> Any:
    return both_in(value)[0]


def _message(data: tuple[Any, ...]) -> Any:
    return _maker(_type_called(data[0]))(*data[1:])


def _any(thing: Any) -> Any:
    """What stands in a field that says little of its type: a message, or a scalar."""
    t: type = type(thing)
    return thing if t in SCALARS else _flattener(t)(thing)


def _any_again(data: Any) -> Any:
    return _message(data) if type(data) is tuple else data


def _refused(thing: Any) -> tuple[Any, ...]:
    raise ValueError(f"{type(thing)} is not plain")


@cache
def _flattener(t: type) -> Callable[[Any], tuple[Any, ...]]:
    """The name of a type and the values of its fields."""
    name = f"{t.__module__}:{t.__qualname__}"
    try:
        return _written(FLAT.replace("HEAD", f"{name!r}, {_fields(t)}"), "flat", t) if _is_plain(t) else _refused
    except Exception:  # it has itself as a part, or names a type that only its checker knows
        return _refused


def _is_plain(t: type) -> bool:
    """Whether it is its fields, and nothing that was computed when it was made."""
    return is_dataclass(t) and not hasattr(t, "__post_init__")


@cache
def _rower(t: type) -> Callable[[Any], tuple[Any, ...]]:
    """The values of the fields alone, where the type is known by the field it stands in."""
    return _written(ROW.replace("ROW", _fields(t)), "row", t)


def _written(source: str, name: str, t: type) -> Callable[[Any], tuple[Any, ...]]:
    known: dict[str, Any] = {"any_": _any, "t": t}
    known |= {f"row_{field}": _rower(item) for field, item in _forms(t) if isinstance(item, type)}
    exec(source, known)  # noqa: S102 (the names are those of a dataclass's fields)
    made: Callable[[Any], tuple[Any, ...]] = known[name]
    return made


def _fields(t: type) -> str:
    return "".join(f"{_expression(name, form)}, " for name, form in _forms(t))


def _expression(name: str, form: Any) -> str:
    if isinstance(form, type):
        return f"tuple([row_{name}(item) for item in message.{name}])"
    return f"message.{name}" if form is None else f"any_(message.{name})"


@cache
def _forms(t: type) -> list[tuple[str, Any]]:
    """Of each field: None if marshal takes it as it is, the type of the messages it has a tuple of, or OTHER."""
    hints = get_type_hints(t)
    return [(field.name, _form(hints[field.name])) for field in fields(t)]


def _form(hint: Any) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if hint in SCALARS or (origin in (Union, UnionType, frozenset) and SCALARS.issuperset(args)):
        return None
    if origin is tuple and args[1:] == (...,):
        item = args[0]
        return None if item in SCALARS else item if isinstance(item, type) and _is_plain(item) else OTHER
    return OTHER


@cache
def _maker(t: type) -> Callable[..., Any]:
    """Makes a message of the values of its fields, as they were: nothing is computed or checked again."""
    names = [name for name, _ in _forms(t)]
    make: Callable[..., Any] = _with_slots(t, names) if hasattr(t, "__slots__") else constructor(t, tuple(names))
    again = [(place, _again(form)) for place, (_, form) in enumerate(_forms(t)) if form is not None]
    if not again:
        return make

    def made(*data: Any) -> Any:
        values = list(data)
        for place, other in again:
            values[place] = other(values[place])
        return make(*values)

    return made


def _with_slots(t: type, names: list[str]) -> Callable[..., Any]:
    new: Any = t.__new__

    def make(*values: Any) -> Any:
        message = new(t)
        for name, value in zip(names, values, strict=True):
            object.__setattr__(message, name, value)
        return message

    return make


def _again(form: Any) -> Callable[[Any], Any]:
    if not isinstance(form, type):
        return _any_again
    make = _maker(form)
    return lambda rows: tuple([make(*row) for row in rows])


@cache
def _type_called(name: str) -> type:
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    t: type = found
    return t
