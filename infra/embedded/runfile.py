"""home/run.json: what a running instance says of itself, so that commands find it."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import SecretStr

from infra.settings import Settings

SECRETS = {"vault_key": "vault.key", "push_key": "push.key", "token_keys": "token.keys"}  # files in home, by setting


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


def resolved(settings: Settings) -> Settings:
    """The settings with the addresses and the keys of the running instance where none is given."""
    found = running(settings.home)
    if found is None:
        return settings
    known: dict[str, object] = {**found.addresses}
    for name, file in SECRETS.items():
        with contextlib.suppress(OSError):
            known[name] = SecretStr((settings.home / file).read_text().strip())
    return settings.model_copy(update={name: v for name, v in known.items() if getattr(settings, name) is None})
