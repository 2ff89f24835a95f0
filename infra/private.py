"""Files and folders that are their owner's alone, whatever the umask: what an instance keeps, nobody else on this machine reads."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from infra.errors import Unusable

UMASK = 0o077
OTHERS = 0o077  # the bits of a mode that are not the owner's


def folder(path: Path) -> None:
    """Make a folder if there is none. Unusable if there is one that is somebody else's, or everybody's."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(parents=True, mode=0o700)
        path.chmod(0o700)  # the umask may have taken even this away
        return
    check_owner(path)
    if path.stat().st_mode & stat.S_ISVTX:
        raise Unusable(f"the data directory {path} is everybody's: choose one of your own with WEFT_HOME")


def check_owner(path: Path) -> None:
    """Unusable if a data directory is somebody else's, or if somebody else's link leads there."""
    if os.name != "posix" or not os.path.lexists(path):
        return
    link, me = path.lstat(), os.geteuid()
    owner = path.stat().st_uid
    if stat.S_ISLNK(link.st_mode) and link.st_uid != 0:
        owner = link.st_uid if owner == me else owner
    if owner != me:
        raise Unusable(
            f"the data directory {path} belongs to {name_of(owner)}, and this is {name_of(me)}: choose one of your own with WEFT_HOME"
        )


def name_of(user: int) -> str:
    """What a user is called, or their number if nobody by that is known here."""
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def close(paths: Iterable[Path]) -> int:
    """Take from others what they may do with these files and folders and all that is in them; returns how many were open.

    Unusable names one that belongs to somebody else.
    """
    opened = 0
    for top in paths:
        for directory, _, files in os.walk(top):
            for path in (Path(directory), *(Path(directory, name) for name in files)):
                opened += _closed(path)
        if top.is_file():
            opened += _closed(top)
    return opened


def _closed(path: Path) -> bool:
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) or not found.st_mode & OTHERS:
            return False
        path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
    except FileNotFoundError:
        return False
    except PermissionError as error:
        raise Unusable(
            f"{path} can be read by others, and belongs to {name_of(found.st_uid)}: give it back with `chown`, or choose another WEFT_HOME"
        ) from error
    return True


def write(path: Path, text: str) -> None:
    """The file with this text in it, all or nothing, also if the power goes."""
    scratch = _written(path, text)
    os.replace(scratch, path)
    _sync(path.parent)


def create(path: Path, text: str) -> bool:
    """The same if there is no such file yet; False, with nothing changed, if there is. Of many who try at once one does."""
    scratch = _written(path, text)
    try:
        os.link(scratch, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(scratch)
    _sync(path.parent)
    return True


def opener(path: str, flags: int) -> int:
    """For `open`: what it makes is the owner's alone."""
    return os.open(path, flags, 0o600)


def _written(path: Path, text: str) -> str:
    number, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(number, "w") as file:
        os.fchmod(number, 0o600)
        file.write(text)
        file.flush()
        os.fsync(number)
    return scratch


def _sync(directory: Path) -> None:
    """Make the names in a directory durable."""
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
