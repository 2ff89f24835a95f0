"""Access tokens: short-lived JWTs, signed with Ed25519 (RFC 8037, RFC 9864), checked as RFC 8725 asks and RFC 9068 names them.

Refresh tokens say nothing: they are random, and only their hash is kept.
"""

import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey
from joserfc.jwt import JWTClaimsRegistry

from infra.errors import BadToken, Unusable

ALGORITHM = "Ed25519"
TYPE = "at+jwt"
ISSUER = "weft"
AUDIENCE = "weft"
LIFE_S = 600
LONGEST = 4096
SEED_BYTES = 32


@dataclass(frozen=True)
class Claims:
    """Whom a token stands for, and in which session."""

    user_id: str
    session: str


class Signer:
    """Signs with the first of its keys and accepts all of them, so that keys can be changed without logging anybody out."""

    def __init__(self, seeds: Sequence[bytes], now: Callable[[], float] = time.time) -> None:
        if not seeds:
            raise Unusable("no key to sign tokens with: set WEFT_TOKEN_KEYS (`weft key token` makes one)")
        self._keys = KeySet([_key(seed) for seed in seeds])
        self._now = now

    def issue(self, claims: Claims) -> str:
        """An access token for the next ten minutes."""
        key, now = self._keys.keys[0], int(self._now())
        payload = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": claims.user_id,
            "sid": claims.session,
            "iat": now,
            "nbf": now,
            "exp": now + LIFE_S,
            "jti": secrets.token_urlsafe(12),
        }
        return jwt.encode({"alg": ALGORITHM, "typ": TYPE, "kid": key.kid}, payload, key, algorithms=[ALGORITHM])

    def verify(self, token: str) -> Claims:
        """What a token says; BadToken if it is not ours, not for us, or out of date."""
        if len(token) > LONGEST:
            raise BadToken("too long")
        try:
            content = jwt.decode(token, self._keys, algorithms=[ALGORITHM])
            if content.header.get("typ") != TYPE:
                raise BadToken(f"a token of type {content.header.get('typ')!r}")
            named: Any = {name: {"essential": True} for name in ("sub", "sid", "exp", "nbf", "iat")}
            JWTClaimsRegistry(
                now=lambda: int(self._now()),
                iss={"essential": True, "value": ISSUER},
                aud={"essential": True, "value": AUDIENCE},
                **named,
            ).validate(content.claims)
        except (JoseError, ValueError) as error:
            raise BadToken(str(error) or type(error).__name__) from error
        return Claims(str(content.claims["sub"]), str(content.claims["sid"]))

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517), for whoever checks tokens without asking us."""
        return dict(self._keys.as_dict(private=False))


def seeds(text: str) -> list[bytes]:
    """The keys of WEFT_TOKEN_KEYS: base64url, the signing one first, commas in between."""
    keys = []
    for part in filter(None, text.split(",")):
        try:
            seed = urlsafe_b64decode(part.strip())
        except ValueError:
            seed = b""
        if len(seed) != SEED_BYTES:
            raise Unusable(f"WEFT_TOKEN_KEYS holds keys of {SEED_BYTES} bytes in base64url; `weft key token` makes one")
        keys.append(seed)
    return keys


def _key(seed: bytes) -> OKPKey:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    kid = urlsafe_b64encode(sha256(private.public_key().public_bytes_raw()).digest()[:9]).decode()
    return OKPKey.import_key(private, {"kid": kid, "use": "sig", "alg": ALGORITHM})


def new_refresh_token() -> str:
    return secrets.token_urlsafe(32)


def fingerprint(refresh_token: str) -> bytes:
    """What is kept of a refresh token: it has 256 random bits, so a plain hash cannot be turned back."""
    return sha256(refresh_token.encode()).digest()
