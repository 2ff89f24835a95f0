"""What a context brings to the simulated shop beside its code, so that no shared test has to know it; neither has to be there.

tests/<context>/laws.py       broken(events): what is wrong with all that happened, once it is at rest
tests/<context>/outside.py    perform(wanted, key): what comes of an intent, as its effects' perform would say it
"""

import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType

from infra.testing.world import Outside


def broken(contexts: Iterable[str], events: Sequence[object]) -> Iterator[str]:
    for laws in _brought(contexts, "laws").values():
        yield from laws.broken(events)


def outside(contexts: Iterable[str]) -> dict[str, Outside]:
    return {context: module.perform for context, module in _brought(contexts, "outside").items()}


def _brought(contexts: Iterable[str], part: str) -> dict[str, ModuleType]:
    names = {context: f"tests.{context}.{part}" for context in contexts}
    return {context: importlib.import_module(n) for context, n in names.items() if importlib.util.find_spec(n)}
