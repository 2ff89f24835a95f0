"""Things by key, however many: in memory as far as there is room, the coldest of them on disk.

What needs some of them names their keys first, a batch at a time, so that the disk is read once for each. Until anything was
let go of, all there is is in memory, and nobody looks for it on the disk: then this is a dict, and what an eighth of it takes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

from infra.read.spill import Spill, sweep
from infra.settings import Settings

WEIGHED = 8  # of so many things one is weighed, the same one each time, and stands for the others
AT_ONCE = 1000  # things that are written or removed in one go

K = TypeVar("K", bound=str | bytes)
V = TypeVar("V")


@dataclass(frozen=True)
class Room:
    """What a process has for what it folds: bytes of memory, and a directory for what is beyond them."""

    bytes: float
    directory: Path


def room(settings: Settings, processes: int) -> Room:
    """The room of each of so many processes: together they have as much memory as a worker has for its state."""
    return Room((settings.state_mb << 20) / max(1, processes), settings.home / "spill")


@dataclass(frozen=True)
class Form(Generic[K, V]):
    """How keys and things are written down and read again, and how many bytes of memory both take together.

    Keys that are written down have the order they had.
    """

    key: Callable[[K], bytes]
    key_of: Callable[[bytes], K]
    thing: Callable[[V], bytes]
    thing_of: Callable[[bytes], V]
    size: Callable[[K, V | None], int]


class Held(Generic[K, V]):
    """Of the room, three tenths are the disk's, once it is needed. None is a thing that is gone. To be closed."""

    def __init__(self, form: Form[K, V], room: Room) -> None:
        sweep(room.directory)
        self._form = form
        self._room = room
        self._most = room.bytes * 7 / 10
        self._at_hand: dict[K, V | None] = {}  # once some were let go of, the coldest first
        self._bytes = 0
        self._spill: Spill | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @contextmanager
    def having(self, keys: Set[K]) -> Iterator[dict[K, V | None]]:
        """A dict in which everything that is held by these keys is, among others; it may be changed by them, until the end.

        Then the coldest are let go of if there is no room for them.
        """
        at_hand = self._at_hand
        if self._spill is not None:
            self._fetch(self._spill, keys)
        weighed = [key for key in keys if not hash(key) % WEIGHED]
        before = self._weight(weighed)
        yield at_hand
        self._bytes += self._weight(weighed) - before
        while self._bytes > self._most and at_hand:
            self._let_go(ceil((self._bytes - self._most) * len(at_hand) / self._bytes))

    def in_order(self) -> Iterator[tuple[K, V]]:
        """Everything that is not gone, in the order of the keys' bytes; to be had once, when nothing is to change any more."""
        if self._spill is not None:
            self._let_go(len(self._at_hand))
            for written, thing in self._spill.items():
                yield self._form.key_of(written), self._form.thing_of(thing)
        for key in sorted(self._at_hand):  # the order of texts is that of their bytes in UTF-8
            if (thing_here := self._at_hand[key]) is not None:
                yield key, thing_here

    def forget(self, is_over: Callable[[V], bool]) -> None:
        """Remove what is over; what a thing was before it was changed is over no later than what it is."""
        old = [key for key, thing in self._at_hand.items() if thing is not None and is_over(thing)]
        for key in old:
            self._bytes -= self._weight([key])
            del self._at_hand[key]
        if self._spill is not None:
            gone = (key for key, thing in self._spill.items() if is_over(self._form.thing_of(thing)))
            while some := list(islice(gone, AT_ONCE)):
                self._spill.write(dict.fromkeys(some))

    def close(self) -> None:
        """Hold nothing any more; nothing is left on the disk."""
        self._at_hand = {}
        self._bytes = 0
        if self._spill is not None:
            self._spill.close()
            self._spill = None

    def _fetch(self, spill: Spill, keys: Iterable[K]) -> None:
        at_hand, form = self._at_hand, self._form
        cold = []
        for key in keys:
            if key in at_hand:
                at_hand[key] = at_hand.pop(key)  # behind the colder ones
            else:
                cold.append(key)
        for key, thing in zip(cold, spill.get([form.key(key) for key in cold]), strict=True):
            if thing is not None:
                at_hand[key] = form.thing_of(thing)
        self._bytes += self._weight(cold)

    def _let_go(self, count: int) -> None:
        """Write down so many of the coldest."""
        if self._spill is None:
            self._spill = Spill(self._room.directory, int(self._room.bytes * 3 / 10))
        coldest = iter(list(islice(self._at_hand, count)))
        while some := list(islice(coldest, AT_ONCE)):
            self._bytes -= self._weight(some)
            self._spill.write(dict(map(self._written, some)))

    def _written(self, key: K) -> tuple[bytes, bytes | None]:
        thing = self._at_hand.pop(key)
        return self._form.key(key), None if thing is None else self._form.thing(thing)

    def _weight(self, keys: Sequence[K]) -> int:
        """What is taken by all of which those of these keys that are weighed are the sample."""
        at_hand, size = self._at_hand, self._form.size
        return WEIGHED * sum([size(key, at_hand[key]) for key in keys if not hash(key) % WEIGHED and key in at_hand])
