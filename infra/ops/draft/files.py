"""Files that are to be: written all or none, and formatted as the application's code is."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infra.errors import Unusable


@dataclass(frozen=True)
class Draft:
    """What will stand in files that are not there yet, and in some that are."""

    new: Mapping[Path, str]
    changed: Mapping[Path, str]

    def write(self) -> None:
        """All of it, or nothing: Unusable says what is in the way."""
        self._nothing_is_in_the_way()
        before = {file: file.read_text() for file in self.changed}
        try:
            for file, text in (*self.new.items(), *self.changed.items()):
                file.parent.mkdir(exist_ok=True)
                file.write_text(text)
        except BaseException as error:  # an interruption leaves no half of a context either
            self._take_back(before)
            if isinstance(error, OSError):
                raise Unusable(f"nothing was written: {error}") from error
            raise
        _format([file for file in (*self.new, *self.changed) if file.suffix == ".py"])

    @cached_property
    def _folders(self) -> set[Path]:
        """The packages that are made."""
        return {file.parent for file in self.new if file.name == "__init__.py"}

    def _nothing_is_in_the_way(self) -> None:
        for path in sorted({*self.new, *self._folders}):
            if os.path.lexists(path):
                raise Unusable(f"{path} is there already; nothing was written")
        parents = {path.parent for path in (*self.new, *self._folders)}
        for path in sorted({*self.changed, *parents} - self._folders):
            if not os.access(path, os.W_OK):
                raise Unusable(f"{path} cannot be written to; nothing was written")

    def _take_back(self, before: Mapping[Path, str]) -> None:
        for file in self.new:
            file.unlink(missing_ok=True)
        for folder in filter(Path.exists, self._folders):
            folder.rmdir()
        for file, text in before.items():
            file.write_text(text)


def _format(files: Iterable[Path]) -> None:
    """As ruff would have them, whatever the names in them are; left as they are where there is no ruff."""
    if importlib.util.find_spec("ruff"):
        for what in (("check", "--select", "I", "--fix"), ("format",)):
            subprocess.run([sys.executable, "-m", "ruff", *what, *map(str, files)], capture_output=True)
