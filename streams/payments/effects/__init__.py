"""The payment gateway: Stripe where there is a key for it, else the sandbox's simple API."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from commands.payments import RecordGatewayOutcome
from infra import Perform
from infra.settings import Settings
from streams.payments.decider import Authorise, Capture, Refund, Void
from streams.payments.effects import sandbox, stripe

Intent = Authorise | Capture | Void | Refund


def target(intent: Intent) -> str:
    return "gateway"


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Perform[Intent, RecordGatewayOutcome]]:
    """The gateway of `settings`; performing raises Unknown for whatever leaves the outcome open."""
    gateway = stripe if settings.stripe_key else sandbox
    async with gateway.connect(settings) as perform:
        yield perform


def hear(settings: Settings, headers: Mapping[str, str], body: bytes) -> tuple[str, RecordGatewayOutcome] | None:
    """What a webhook of the gateway says, as (command id, command); None if it is of no interest."""
    return stripe.hear(settings, headers, body)
