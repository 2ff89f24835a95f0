"""What can be queried: a row and how events change it (.py), and its tables and views (.sql). Disposable: replay rebuilds it."""

from typing import Any, TypeVar

R = TypeVar("R")


def changed(row: R, **columns: Any) -> R:
    """The row with other values in these columns. As dataclasses.replace, which asks every field of every row what it is, in a seventh of the time."""
    if not columns.keys() <= row.__dict__.keys():
        raise TypeError(f"{type(row).__name__} has no {', '.join(columns.keys() - row.__dict__.keys())}")
    made = object.__new__(type(row))
    object.__setattr__(made, "__dict__", row.__dict__ | columns)
    return made
