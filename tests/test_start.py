"""How little a `weft` needs that is asked something."""

import subprocess
import sys

CLIENTS = "aiohttp", "aiosmtplib", "pywebpush", "requests", "stripe"
ASKED = f"""
import sys
from infra.cli import _register
assert _register() is None
print(*({{*{CLIENTS}}} & sys.modules.keys()))
"""


def test_what_reaches_the_outside_is_loaded_by_who_connects_to_it() -> None:
    loaded = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
