"""Access tokens: ours, for us, in time; and nothing else."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from infra.edge.identity.tokens import ALGORITHM, LIFE_S, Claims, Signer, seeds
from infra.errors import BadToken, Unusable

OLD, NEW = b"o" * 32, b"n" * 32
ADA = Claims("ada", "s1")
NOW = 1_700_000_000.0


def signer(*keys: bytes, now: float = NOW) -> Signer:
    return Signer(keys or (NEW,), lambda: now)


def test_a_token_says_whom_it_stands_for() -> None:
    assert signer().verify(signer().issue(ADA)) == ADA


def test_a_token_is_over_after_ten_minutes() -> None:
    token = signer().issue(ADA)
    assert signer(now=NOW + LIFE_S - 1).verify(token) == ADA
    with pytest.raises(BadToken):
        signer(now=NOW + LIFE_S + 1).verify(token)


def test_a_token_of_the_future_is_none() -> None:
    with pytest.raises(BadToken):
        signer(now=NOW - 60).verify(signer().issue(ADA))


def test_a_key_that_was_replaced_is_still_accepted_and_no_longer_used() -> None:
    both = signer(NEW, OLD)
    assert both.verify(signer(OLD).issue(ADA)) == ADA
    with pytest.raises(BadToken):
        signer(OLD).verify(both.issue(ADA))


def forged(header: dict[str, Any], key: Any, **claims: Any) -> str:
    known = {"iss": "weft", "aud": "weft", "sub": "ada", "sid": "s", "iat": NOW, "nbf": NOW, "exp": NOW + 60}
    return jwt.encode(header, known | claims, key, algorithms=[header["alg"]])


def ours() -> Any:
    return signer()._keys.keys[0]


@pytest.mark.parametrize(
    "claims",
    [{"iss": "other"}, {"aud": "other"}, {"exp": NOW - 1}, {"sub": None}, {"sid": None}, {"nbf": NOW + 60}],
)
def test_a_token_that_says_something_else_is_none(claims: dict[str, Any]) -> None:
    header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": ours().kid}
    assert signer().verify(forged(header, ours())) == Claims("ada", "s")
    with pytest.raises(BadToken):
        signer().verify(forged(header, ours(), **claims))


def test_another_algorithm_or_type_or_key_is_no_token() -> None:
    public = json.dumps(signer().jwks()["keys"][0]).encode()
    stranger = OKPKey.generate_key("Ed25519", {"kid": ours().kid})
    for token in (
        forged({"alg": "HS256", "typ": "at+jwt"}, OctKey.import_key(public)),
        forged({"alg": ALGORITHM, "typ": "JWT", "kid": ours().kid}, ours()),
        forged({"alg": ALGORITHM, "typ": "at+jwt", "kid": ours().kid}, stranger),
        urlsafe_b64encode(b'{"alg":"none"}').decode() + ".e30.",
        "no token",
        "x" * 10_000,
    ):
        with pytest.raises(BadToken):
            signer().verify(token)


def test_the_published_keys_are_public_only() -> None:
    published = signer(NEW, OLD).jwks()["keys"]
    assert len({key["kid"] for key in published}) == 2
    assert not any("d" in key for key in published)


@pytest.mark.parametrize("text", ["short", "x" * 44])
def test_a_key_that_is_none_is_a_clear_error(text: str) -> None:
    with pytest.raises(Unusable, match="WEFT_TOKEN_KEYS"):
        seeds(text)


def test_without_a_key_nothing_is_signed() -> None:
    with pytest.raises(Unusable, match="WEFT_TOKEN_KEYS"):
        Signer(seeds(""))
