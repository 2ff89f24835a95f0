"""What a context brings to the simulated mesh beside its code, so that no shared test has to know it; neither has to be there.

tests/<context>/laws.py       broken(events): what is wrong with all that happened, once it is at rest
tests/<context>/outside.py    answer(wanted, key): the command that what an intent wants comes back as
"""

import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from types import ModuleType
from typing import Any


def broken(contexts: Iterable[str], events: Sequence[object]) -> Iterator[str]:
    for context in contexts:
        if laws := _brought(context, "laws"):
            yield from laws.broken(events)


def answer(context: str, wanted: Any, key: str) -> Any:
    outside = _brought(context, "outside")
    assert outside, f"{context} wants {wanted}: say in tests/{context}/outside.py what comes of it"
    return outside.answer(wanted, key)


@cache
def _brought(context: str, part: str) -> ModuleType | None:
    name = f"tests.{context}.{part}"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None
