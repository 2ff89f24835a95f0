"""Everything that can go wrong, and what becomes of it.

    WeftError                 one line for a person, and what to do next
    ├── Unusable              stop: this machine, address or directory cannot serve; nothing was changed
    │   ├── OfOtherCode       wait: tables are not what this code would have made; a rebuild or a restart mends it
    │   └── OfNewerCode       wait: the log has what this code does not know; newer code reads it
    ├── LogDamaged            stop: the log lost data, or is not the one read before
    ├── Unwritable            stop: a read model cannot be made of an event
    ├── LogMoved              stop: the log goes on in another topic; who starts again finds it
    ├── Stopped               stop: somebody asked for it; what was finished is kept, and the same command goes on
    ├── Unknown               retry: nobody can say whether it happened; ask again with the same key
    ├── Fenced                retry: somebody else is at work here; look again later where they stand
    ├── Refusal               answer: it cannot be done as it was asked; whoever asked is told why, nothing was changed
    │   ├── Unreadable        park: this one command cannot be understood; in a topic it is answered and kept
    │   └── Erased            answer: nothing names this person any more, ever
    ├── Undeliverable         answer: the outcome of an effect is no, however often it is asked
    ├── BadCredentials        answer: no, and nobody is told why
    └── BadToken              answer: no, and nobody is told why

What a decider refuses is an event (`messages.Refused`), so it never appears here.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class WeftError(Exception):
    """An error that names its cure; `str()` is shown to the user as it is."""


class Unusable(WeftError):
    """Something this process needs is not there or not fit: it ends, having changed nothing."""


class OfOtherCode(Unusable):
    """The tables of a read model are not what this code would have made."""


class OfNewerCode(Unusable):
    """An accepted record of a schema that this code does not know: who reads on would leave out what it says."""


class LogDamaged(WeftError):
    """The log does not start at 0, ends before what was already read, or holds an accepted record nobody can read."""


class Unwritable(WeftError):
    """A read model cannot be made of an event: its code fails at it, or Postgres takes no such row."""


class LogMoved(WeftError):
    """The log was grown into another topic while this process wrote or read the old one."""


class Stopped(WeftError):
    """Somebody asked to stop; what was finished is kept."""


class Unknown(WeftError):
    """An effect whose outcome is not known (timeout, refused connection, 5xx)."""


class Fenced(WeftError):
    """Another projector moved this projection on."""


class Refusal(WeftError):
    """What was asked cannot be done as it was asked; `code` is stable and short, `reason` says how to mend it."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Unreadable(Refusal):
    """A command that cannot be understood."""


class Erased(Refusal):
    """The keys of these persons were destroyed: what is sealed for them stays sealed, and nothing new is."""

    def __init__(self, *subjects: str) -> None:
        super().__init__("erased", f"{', '.join(subjects)}: erased, and never to be named again")


class Undeliverable(WeftError):
    """The outside will not take this, however often it is asked; the text says why and names nobody."""


class BadCredentials(WeftError):
    """No such user, or not their password: nobody is told which."""


class BadToken(WeftError):
    """Not a token of ours, or not any more; why is for logs, not for who sent it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name nobody knows: the one that was meant, or all there are."""
    names = list(known)
    close = get_close_matches(name, names, 1, 0.8)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
