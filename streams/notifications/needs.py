"""What notifications needs outside: a mail server, an SMS service, what push messages are signed with, and the vault."""

from base64 import urlsafe_b64encode
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from pydantic import Field, SecretStr

from infra.model import Address, Secret, StandIn, VaultNeeds

SANDBOX = StandIn("sandbox", "infra.shop.outside")


def signing_key() -> str:
    """A P-256 private key (RFC 8292), the raw scalar in base64url."""
    scalar = generate_private_key(SECP256R1()).private_numbers().private_value
    return urlsafe_b64encode(scalar.to_bytes(32, "big")).decode().rstrip("=")


class Needs(VaultNeeds):
    """`smtp` is a host:port, `sms` where Twilio's API is, `push` a push service that may do without TLS.

    `sms_account` and `sms_token` log in there, and `sms_from` is whom messages are from; the timeout is in seconds.
    """

    smtp: Annotated[str, Address(SANDBOX)]
    sms: Annotated[str, Address(SANDBOX, "http://{}")]
    sms_account: str = "AC00000000000000000000000000000000"
    sms_token: Annotated[SecretStr | None, Secret()] = None
    sms_from: str = "+15005550006"
    push: Annotated[str | None, Address(SANDBOX, "http://{}")] = None
    push_key: Annotated[SecretStr | None, Secret(signing_key)] = None
    gateway_timeout: float = Field(default=5.0, gt=0)
