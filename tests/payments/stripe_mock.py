"""Stripe's own mock, built from the Go module proxy where there is a Go toolchain: it holds requests against Stripe's OpenAPI."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.settings import cache_dir

VERSION = "v0.203.0"


@contextmanager
def running() -> Iterator[str]:
    """Its address."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [str(built()), "-http-port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as mock:
        try:
            deadline = time.monotonic() + 20
            while not _listens(port):
                assert mock.poll() is None and time.monotonic() < deadline, "stripe-mock does not start"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            mock.kill()


def built() -> Path:
    binary = cache_dir() / "stripe-mock" / VERSION / "stripe-mock"
    if not binary.exists():
        with tempfile.TemporaryDirectory() as scratch:
            env = {**os.environ, "GOBIN": scratch, "GOFLAGS": "-mod=mod"}
            module = f"github.com/stripe/stripe-mock@{VERSION}"
            subprocess.run(["go", "install", module], check=True, env=env, timeout=200, capture_output=True)
            binary.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(Path(scratch) / "stripe-mock", binary)
    return binary


def _listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0
