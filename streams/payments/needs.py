"""What payments needs outside: the sandbox's gateway, or Stripe where there is a key for it."""

from typing import Annotated

from pydantic import Field, SecretStr

from infra.model import Address, Secret, StandIn, Variables

SANDBOX = StandIn("sandbox", "infra.shop.outside")


class Needs(Variables):
    """`gateway` is where the gateway listens, or Stripe's API if it is not at Stripe; the timeout is in seconds."""

    gateway: Annotated[str | None, Address(SANDBOX, "http://{}", unless="stripe_key")] = None
    gateway_timeout: float = Field(default=5.0, gt=0)
    stripe_key: Annotated[SecretStr | None, Secret()] = None
    stripe_webhook_secret: Annotated[SecretStr | None, Secret()] = None
