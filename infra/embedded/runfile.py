"""home/run.json: what a running instance says of itself, so that commands find it."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.embedded.secrets import file_of
from infra.model.needs import Outside
from infra.settings import Settings


@dataclass(frozen=True)
class Running:
    """What a running instance says of itself."""

    pid: int
    created: float
    units: list[str]
    ready: bool
    addresses: dict[str, str]


def running(home: Path) -> Running | None:
    """The instance that runs in `home`, if its supervisor is alive."""
    with contextlib.suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
        found = Running(**json.loads((home / "run.json").read_text()))
        if psutil.Process(found.pid).create_time() == found.created:
            return found
    return None


def resolved(settings: Settings, outside: Outside) -> Settings:
    """The settings with the addresses and the keys of the running instance where none is given and one is wanted."""
    found = running(settings.home)
    if found is None:
        return settings
    known = found.addresses | _keys(settings.home, outside)
    return settings.having(**{name: known[name] for name in outside.missing(settings) if name in known})


def _keys(home: Path, outside: Outside) -> dict[str, str]:
    known = {}
    for name in outside.makers:
        with contextlib.suppress(OSError):
            known[name] = file_of(home, name).read_text().strip()
    return known
