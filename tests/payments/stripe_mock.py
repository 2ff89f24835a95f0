"""Stripe as tests know it: its own mock, and webhooks signed as it signs them.

The mock holds requests against Stripe's OpenAPI; it is built from the Go module proxy where there is a Go toolchain.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import stripe

from infra.settings import cache_dir
from tests.payments.examples import ORDER

VERSION = "v0.203.0"
SECRET = "whsec_test"


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


# -- webhooks


def event(kind: str, **content: Any) -> bytes:
    """The body of a webhook, about a payment of ours."""
    about = {"id": "pi_1", "object": "payment_intent", "metadata": {"order_id": ORDER}} | content
    return json.dumps({"id": "evt_1", "object": "event", "type": kind, "data": {"object": about}}).encode()


def signed(body: bytes, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """The headers of a webhook."""
    stamp = int(time.time() if at is None else at)
    sign: Callable[[str, str], str] = stripe.WebhookSignature._compute_signature
    return {"Stripe-Signature": f"t={stamp},v1={sign(f'{stamp}.{body.decode()}', secret)}"}
