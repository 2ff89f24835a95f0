"""A PushSubscription as a browser gives it (https://www.w3.org/TR/push-api/), or whatever somebody else says is one. Pure."""

import json
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from infra import Undeliverable
from infra.edge.outside import is_public

MAX_SUBSCRIPTION, MAX_ENDPOINT = 4096, 2048  # characters
AUTH_BYTES = 16  # RFC 8291, 3.2
PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Subscription:
    """`p256dh` and `auth` are the browser's, in base64url; `is_nearby` is one of the stand-in's."""

    endpoint: str
    origin: str
    host: str
    p256dh: str
    auth: str
    is_nearby: bool


def subscription_of(text: str, nearby: str | None) -> Subscription:
    """What a text says; Undeliverable, which names nobody, if it is no subscription, or none that anybody should be asked for.

    `nearby` is where the push service listens that may do without TLS, and without the public internet.
    """
    if len(text) > MAX_SUBSCRIPTION:
        raise Undeliverable(f"a PushSubscription of more than {MAX_SUBSCRIPTION} characters")
    try:
        match json.loads(text):
            case {"endpoint": str() as endpoint, "keys": {"p256dh": str() as p256dh, "auth": str() as auth}}:
                parts = _parts(endpoint)
                _check_keys(p256dh, auth)
            case _:
                raise ValueError
        place = _place(parts)
        is_nearby = nearby is not None and place == _place(urlsplit(nearby))
    except (ValueError, RecursionError) as error:
        raise Undeliverable("not a PushSubscription of a browser") from error
    if not is_nearby:
        _check_public(parts)
    return Subscription(endpoint, f"{parts.scheme}://{parts.netloc}", place[1], p256dh, auth, is_nearby)


def _parts(endpoint: str) -> SplitResult:
    """ValueError unless it is an absolute URL in ASCII of which everybody has the same opinion."""
    parts = urlsplit(endpoint)
    is_plain = endpoint.isascii() and endpoint.isprintable() and not set(" \\") & set(endpoint)
    if not is_plain or len(endpoint) > MAX_ENDPOINT or not parts.hostname or "@" in parts.netloc or "%" in parts.netloc:
        raise ValueError
    return parts


def _place(parts: SplitResult) -> tuple[str, str, int | None]:
    return parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme)


def _check_public(parts: SplitResult) -> None:
    host = parts.hostname or ""
    if parts.scheme != "https":
        raise Undeliverable("a push service has to be reached over https")
    is_address = ":" in host or host.rstrip(".").rpartition(".")[2].isdigit()
    if not (is_public(host) if is_address else "." in host.strip(".")):
        raise Undeliverable("a push service has to be on the public internet")


def _check_keys(p256dh: str, auth: str) -> None:
    EllipticCurvePublicKey.from_encoded_point(SECP256R1(), _decoded(p256dh))
    if len(_decoded(auth)) != AUTH_BYTES:
        raise ValueError


def _decoded(text: str) -> bytes:
    """Base64url with or without what fills it up."""
    bare = text.rstrip("=").encode("ascii")
    return urlsafe_b64decode(bare + b"=" * (-len(bare) % 4))
