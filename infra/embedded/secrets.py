"""Keys an embedded instance makes for itself, once, in files only its user can read."""

import os
from collections.abc import Callable
from pathlib import Path


def file_of(home: Path, name: str) -> Path:
    """Where an instance keeps the secret of that name: vault_key in vault.key."""
    return home / name_of(name)


def name_of(name: str) -> str:
    """What the file of that secret is called."""
    return name.replace("_", ".")


def kept(file: Path, make: Callable[[], str]) -> str:
    """The secret in the file, made when there is none yet."""
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(make() + "\n")
    return file.read_text().strip()
