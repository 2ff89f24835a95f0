"""A process that was stopped ends, whatever of it does not."""

import subprocess
import sys

STUCK = """
import asyncio, os, signal, threading
from types import SimpleNamespace
from infra.ops import run

run.STOP_SECONDS = 0.5

async def deaf(*_, **__):
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(60)

run.projector.run = deaf
run.disk_and_budget = lambda settings: (None, None)
mesh = SimpleNamespace(units=lambda names: ([], ["orders"]), projection=lambda name: None)
asyncio.run(run.run(mesh, [], None))
"""


def test_what_does_not_stop_in_time_is_ended_and_says_where_it_was() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "did not stop in time" in done.stdout + done.stderr
    assert "Current thread" in done.stderr or "Thread 0x" in done.stderr
