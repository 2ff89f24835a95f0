"""Keys an embedded instance makes for itself, once, in files only its user can read.

Which of them there are is noted beside them: one that is gone is asked for, and never replaced, since what was made with it is
lost without it.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from infra import private
from infra.errors import Unusable
from infra.model.needs import kind_of
from infra.settings import variable

NOTE = "secrets.json"


def file_of(home: Path, name: str) -> Path:
    """Where an instance keeps the secret of that name: vault_key in vault.key."""
    return home / name_of(name)


def name_of(name: str) -> str:
    """What the file of that secret is called."""
    return name.replace("_", ".")


def kept(home: Path, name: str, make: Callable[[], str]) -> str:
    """The secret of that name, made when there never was one. Unusable if it is gone, or its file is empty."""
    file = file_of(home, name)
    if name in (noted(home) or ()):
        if not file.exists():
            raise Unusable(
                f"{file} is missing, and {variable(name)} is not given: what was made with it is lost without it. Put it back from a "
                f"backup, or set {variable(name)}; `weft key {kind_of(name)}` makes another, for who can do without what it protects"
            )
    else:
        private.create(file, make() + "\n")
    try:
        secret = file.read_text().strip()
    except OSError as error:
        raise Unusable(f"cannot read {file}: {error.strerror}") from error
    if not secret:
        raise Unusable(f"{file} is empty: put it back from a backup, or remove it if nothing was ever made with it")
    return secret


def noted(home: Path) -> set[str] | None:
    """The secrets that a home was ever used with; None if nobody has noted any."""
    try:
        names = json.loads((home / NOTE).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Unusable(_torn(home)) from error
    if not isinstance(names, list):
        raise Unusable(_torn(home))
    return set(map(str, names))


def note(home: Path, names: Iterable[str]) -> None:
    """Remember that a home is used with these; after their files are there."""
    before = noted(home)
    if (after := {*names, *(before or ())}) != (before or set()):
        private.write(home / NOTE, json.dumps(sorted(after)))


def _torn(home: Path) -> str:
    return f"{home / NOTE}, which says what keys were made here, cannot be read: remove it if none of their files is missing"
