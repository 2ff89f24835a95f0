"""The payment gateway: Stripe where there is a key for it, else the sandbox's simple API."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from commands.payments import RecordGatewayOutcome
from infra.model import Perform
from streams.payments.decider import Authorise, Capture, Refund, Void
from streams.payments.needs import Needs

Intent = Authorise | Capture | Void | Refund


def target(intent: Intent) -> str:
    return "gateway"


@asynccontextmanager
async def connect(needs: Needs) -> AsyncIterator[Perform[Intent, RecordGatewayOutcome]]:
    """The gateway; performing raises Unknown for whatever leaves the outcome open."""
    # their clients are big, and `weft` is often asked other things
    from streams.payments.effects import sandbox, stripe

    gateway = stripe if needs.stripe_key else sandbox
    async with gateway.connect(needs) as perform:
        yield perform


def give_up(intent: Intent, reason: str) -> RecordGatewayOutcome:
    """Nothing is held, taken or given back, as far as the shop is concerned."""
    refund_id = intent.refund_id if isinstance(intent, Refund) else ""
    step = type(intent).__name__.lower()
    return RecordGatewayOutcome(
        order_id=intent.order_id, step=step, ok=False, authorisation="", reason=reason, refund_id=refund_id
    )


def hear(needs: Needs, headers: Mapping[str, str], body: bytes) -> tuple[str, RecordGatewayOutcome] | None:
    """What a webhook of the gateway says, as (command id, command); None if it is of no interest."""
    from streams.payments.effects import stripe

    return stripe.hear(needs, headers, body)
