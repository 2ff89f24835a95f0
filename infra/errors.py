"""Everything that can go wrong, and what becomes of it.

    WeftError                 one line for a person, and what to do next
    ├── Unusable              stop: this machine, address or directory cannot serve; nothing was changed
    ├── LogDamaged            stop: the log lost data, or is not the one read before
    ├── LogMoved              stop: the log goes on in another topic; who starts again finds it
    ├── Unreadable            park: this one record cannot be understood; it is answered and kept, the rest goes on
    └── Unknown               retry: nobody can say whether it happened; ask again with the same key

A domain refusal is an event (`schemas.Refused`), so it never appears here.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class WeftError(Exception):
    """An error that names its cure; `str()` is shown to the user as it is."""


class Unusable(WeftError):
    """Something this process needs is not there or not fit: it ends, having changed nothing."""


class LogDamaged(WeftError):
    """The log does not start at 0, ends before what was already read, or holds an accepted record nobody can read."""


class LogMoved(WeftError):
    """The log was grown into another topic while this process wrote or read the old one."""


class Unreadable(WeftError):
    """A command that cannot be understood; `code` is stable and short, `reason` says how to mend it.

    `personal`: it names a person in plain, so nobody keeps a copy of it.
    """

    def __init__(self, code: str, reason: str, *, personal: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.personal = personal


class Unknown(WeftError):
    """An effect whose outcome is not known (timeout, refused connection, 5xx)."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name nobody knows: the one that was meant, or all there are."""
    names = list(known)
    close = get_close_matches(name, names, 1, 0.8)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
