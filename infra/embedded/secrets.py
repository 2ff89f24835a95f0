"""Keys an embedded instance makes for itself, once, in files only its user can read."""

import os
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from pydantic import SecretStr

KEY_BYTES = 32


def kept(file: Path, make: Callable[[], str]) -> SecretStr:
    """The secret in the file, made when there is none yet."""
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(make() + "\n")
    return SecretStr(file.read_text().strip())


def random_key() -> str:
    """A key for WEFT_VAULT_KEY (who loses it has erased everybody), or a seed for WEFT_TOKEN_KEYS."""
    return urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


def push_key() -> str:
    """A P-256 private key for WEFT_PUSH_KEY (RFC 8292), the raw scalar."""
    scalar = generate_private_key(SECP256R1()).private_numbers().private_value
    return urlsafe_b64encode(scalar.to_bytes(32, "big")).decode().rstrip("=")


MAKERS: dict[str, Callable[[], str]] = {"vault_key": random_key, "push_key": push_key, "token_keys": random_key}
