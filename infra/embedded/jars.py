"""Apache Kafka from its published jars: each one pinned by sha256, fetched once into the user's cache."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from infra.errors import Unusable

LOCK = Path(__file__).parent.parent / "lock" / "kafka-jars.lock"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Jar:
    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str

    @property
    def name(self) -> str:
        return "-".join(filter(None, (self.artifact, self.version, self.classifier))) + ".jar"


def read_lock(text: str) -> Iterator[Jar]:
    """Lines `group:artifact:version[:classifier] sha256:HEX`."""
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        coordinate, _, digest = line.partition(" sha256:")
        group, artifact, version, *classifier = coordinate.split(":")
        yield Jar(group, artifact, version, classifier[0] if classifier else "", digest.strip())


def download(jar: Jar, into: Path) -> Path:
    """One jar by its coordinates only: jgo's own dependency resolution is not used, the lock is the whole list."""
    from jgo.maven import MavenContext  # half a second, needed once

    context = MavenContext(repo_cache=into, timeout=60)
    path = (
        context.project(jar.group, jar.artifact).at_version(jar.version).artifact(classifier=jar.classifier).resolve()
    )
    return Path(path)


def fetch(
    cache: Path,
    progress: Progress = lambda done, total: None,
    get: Callable[[Jar, Path], Path] = download,
    lock: Path = LOCK,
) -> list[Path]:
    """Every locked jar, verified; only what is missing is downloaded. `progress(done, total)` counts jars.

    A jar gets its name in the cache only after its checksum agreed, so an interrupted download is fetched again.
    Raises Unusable when a registry serves other bytes than the lock names, or cannot be reached.
    """
    jars = list(read_lock(lock.read_text()))
    shelf = cache / "kafka-jars"
    shelf.mkdir(parents=True, exist_ok=True)
    for left in cache.glob("partial-*"):
        if not psutil.pid_exists(int(left.name.split("-")[1])):
            shutil.rmtree(left, ignore_errors=True)
    missing = [jar for jar in jars if not _is(shelf / jar.name, jar.sha256)]
    done = len(jars) - len(missing)
    progress(done, len(jars))
    with ThreadPoolExecutor(8) as pool:
        waiting = {pool.submit(_fetch_one, jar, cache, shelf, get) for jar in missing}
        for finished in as_completed(waiting):
            try:
                finished.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            done += 1
            progress(done, len(jars))
    return [shelf / jar.name for jar in jars]


def _fetch_one(jar: Jar, cache: Path, shelf: Path, get: Callable[[Jar, Path], Path]) -> None:
    try:
        with TemporaryDirectory(prefix=f"partial-{os.getpid()}-", dir=cache, ignore_cleanup_errors=True) as scratch:
            file = get(jar, Path(scratch) / jar.name)
            if not _is(file, jar.sha256):
                raise Unusable(
                    f"{jar.name} has sha256 {_digest(file)}, the lock says {jar.sha256}: refused. Is a proxy rewriting downloads?"
                )
            os.replace(file, shelf / jar.name)
    except OSError as error:
        raise Unusable(
            f"cannot fetch {jar.name}: {error}. What is already there is kept; run the command again."
        ) from error
    except RuntimeError as error:
        raise Unusable(f"cannot fetch {jar.name}: {error}. Is Maven Central reachable from here?") from error


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and _digest(path) == sha256


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
