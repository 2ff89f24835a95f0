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
        instance = Running(**json.loads((home / "run.json").read_text()))
        if psutil.Process(instance.pid).create_time() == instance.created:
            return instance
    return None


def resolved(settings: Settings, outside: Outside) -> Settings:
    """The settings with the addresses and the keys of the running instance where none is given and one is wanted."""
    instance = running(settings.home)
    if instance is None:
        return settings
    values = instance.addresses | _keys(settings.home, outside)
    return settings.having(**{name: values[name] for name in outside.missing(settings) if name in values})


def _keys(home: Path, outside: Outside) -> dict[str, str]:
    keys = {}
    for name in outside.makers:
        with contextlib.suppress(OSError):
            keys[name] = file_of(home, name).read_text().strip()
    return keys
