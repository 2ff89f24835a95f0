"""What names a person is sealed before it reaches a topic: AES-256-GCM, a key a person, kept in the vault and nowhere else.

Whoever destroys a person's key has erased them from every topic, backup and dump at once. A sealed text says whose it is,
`weft1:<subject>:<base64url of nonce, ciphertext and tag>`, and cannot be passed off as somebody else's: the subject is
authenticated with it. Equal texts are sealed differently, so that equality is only seen where a digest says so, or a command
is sent again under its id.
"""

import json
import os
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hmac import new as hmac
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.wire.schemas import Node

PREFIX = "weft1:"
KEY_BYTES = 32
NONCE_BYTES = 12  # random, or as good as that: 2**32 texts under one key are safe (NIST SP 800-38D, 8.3)
MAX_PLAIN = 4096


def random_key() -> str:
    """A fresh key, in base64url."""
    return urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


def is_sealed(text: str) -> bool:
    return text.startswith(PREFIX) and text.count(":") >= 2


def subject_of(sealed: str) -> str:
    """Whose text it is; ValueError if it is not sealed."""
    if not is_sealed(sealed):
        raise ValueError("not a sealed text")
    return sealed.removeprefix(PREFIX).rpartition(":")[0]


def seal(key: bytes, subject: str, text: str, command_id: str | None = None) -> str:
    """The text for who has the key of `subject`; ValueError if it is longer than a name or an address can be.

    Under one command id the same text is sealed the same way, so that who has no key can tell whether a command that is sent
    again says the same; and nobody can tell whether two commands do.
    """
    if len(text) > MAX_PLAIN:
        raise ValueError(f"what is sealed has at most {MAX_PLAIN} characters")
    nonce = os.urandom(NONCE_BYTES) if command_id is None else _nonce(key, command_id, text)
    box = AESGCM(key).encrypt(nonce, text.encode(), subject.encode())
    return f"{PREFIX}{subject}:{urlsafe_b64encode(nonce + box).decode()}"


def _nonce(key: bytes, command_id: str, text: str) -> bytes:
    """As good as a random one for who has no key (RFC 5297 has the idea); another text has another."""
    said = json.dumps(["weft nonce", command_id, text]).encode()
    return hmac(key, said, "sha256").digest()[:NONCE_BYTES]


def unseal(key: bytes, sealed: str) -> str:
    """The text; ValueError if the key is another's or somebody changed it."""
    subject, _, coded = sealed.removeprefix(PREFIX).rpartition(":")
    try:
        raw = urlsafe_b64decode(coded)
        return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], subject.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise ValueError(f"the sealed text of {subject!r} does not open") from error


def digest(secret: bytes, text: str) -> str:
    """The same for addresses that reach the same mailbox, and nothing without the secret (HMAC-SHA256)."""
    return hmac(secret, unicodedata.normalize("NFKC", text).strip().casefold().encode(), "sha256").hexdigest()


@dataclass(frozen=True)
class Personal:
    """What a message type says of a person, as its schema tags it.

    `paths` are the fields to be sealed (`channels.address` is in every item of a list), `subject` is the field that says
    whose they are, `digests` maps a field to the one it is the digest of.
    """

    subject: str
    paths: tuple[tuple[str, ...], ...]
    digests: Mapping[str, str]


def personal(schema: Node) -> Personal | None:
    """The personal fields of a message by its schema; None for one that names nobody."""
    tags = list(_tagged(schema, ()))
    if not tags:
        return None
    digests = {field["name"]: field["digest_of"] for field in schema["fields"] if "digest_of" in field}
    (subject,) = {subject for _, subject in tags}
    return Personal(subject, tuple(path for path, _ in tags), digests)


def _tagged(node: Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(node, dict):
        for field in node.get("fields", ()):
            if "pii" in field:
                yield (*path, field["name"]), field["pii"]
            yield from _tagged(field["type"], (*path, field["name"]))
        yield from _tagged(node.get("items"), path)


def unsealed(spec: Personal, message: Any) -> list[str]:
    """The personal fields of a message that are not sealed, or sealed for somebody else."""
    subject = getattr(message, spec.subject)
    return [".".join(path) for path in spec.paths for text in _texts(message, path) if not _is_for(text, subject)]


def _is_for(text: str, subject: str) -> bool:
    return not text or (is_sealed(text) and subject_of(text) == subject)


def _texts(node: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, tuple):
        for item in node:
            yield from _texts(item, path)
    elif path:
        yield from _texts(getattr(node, path[0]), path[1:])
    else:
        yield node


def seal_payload(
    spec: Personal, subject: str, payload: dict[str, Any], key: bytes, secret: bytes, command_id: str | None = None
) -> dict[str, Any]:
    """A command's JSON with its personal fields sealed and their digests added; what is sealed already stays."""

    def sealed_text(text: str) -> str:
        return seal(key, subject, text, command_id)

    sealed = dict(payload)
    for name, source in spec.digests.items():
        text = payload.get(source)
        if name not in payload and isinstance(text, str) and not is_sealed(text):
            sealed[name] = digest(secret, text)
    for path in spec.paths:
        sealed = _seal_at(sealed, path, sealed_text)
    return sealed


def _seal_at(node: Any, path: tuple[str, ...], sealed: Callable[[str], str]) -> Any:
    if isinstance(node, list):
        return [_seal_at(item, path, sealed) for item in node]
    if isinstance(node, dict) and path:
        return {name: _seal_at(v, path[1:], sealed) if name == path[0] else v for name, v in node.items()}
    if isinstance(node, str) and not path and node and not is_sealed(node):
        return sealed(node)
    return node
