"""home/run.json: what a running instance says of itself, so that commands find it."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra import private
from infra.embedded.secrets import file_of
from infra.errors import Unusable
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
    """The instance that runs in `home`, if its supervisor is alive. Unusable if the home is somebody else's."""
    file = home / "run.json"
    try:
        private.check_owner(home)  # whoever wrote the file says where secrets are sent
        text = file.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Unusable(f"cannot read {file}: {error.strerror}. Choose another directory with WEFT_HOME") from error
    with contextlib.suppress(ValueError, TypeError, psutil.NoSuchProcess):
        instance = Running(**json.loads(text))
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
