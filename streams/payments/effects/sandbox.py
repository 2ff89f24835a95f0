"""The payment gateway, over HTTP. Every request carries the id of the event that wanted it as its idempotency key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from commands.payments import RecordGatewayOutcome
from infra import Unknown, Unusable
from infra.model import Attempt, Perform
from streams.payments.decider import Authorise, Capture, Refund, Void
from streams.payments.needs import Needs

Intent = Authorise | Capture | Void | Refund


@asynccontextmanager
async def connect(needs: Needs) -> AsyncIterator[Perform[Intent, RecordGatewayOutcome]]:
    """The gateway; performing raises Unknown for whatever leaves the outcome open. Unusable if there is none."""
    if needs.gateway is None:
        raise Unusable("no address for gateway: start the mesh with `weft up`, or set WEFT_GATEWAY, or WEFT_STRIPE_KEY")
    timeout = aiohttp.ClientTimeout(total=needs.gateway_timeout)
    async with aiohttp.ClientSession(needs.gateway, timeout=timeout) as client:

        async def perform(intent: Intent, attempt: Attempt) -> RecordGatewayOutcome:
            path, body = _request(intent)
            try:
                async with client.post(path, json=body, headers={"Idempotency-Key": attempt.key}) as answer:
                    if answer.status != 201:
                        raise Unknown(f"the payment gateway answered {answer.status}: {(await answer.text())[:200]}")
                    content = await answer.json()
            except (aiohttp.ClientError, TimeoutError) as error:
                raise Unknown(f"the payment gateway did not answer: {error!r}") from error
            return RecordGatewayOutcome(
                order_id=intent.order_id,
                step=type(intent).__name__.lower(),
                ok=content["outcome"] == "ok",
                authorisation=content["authorisation"],
                reason=content["reason"],
                refund_id=intent.refund_id if isinstance(intent, Refund) else "",
            )

        yield perform


def _request(intent: Intent) -> tuple[str, dict[str, object]]:
    match intent:
        case Authorise():
            body = {
                "amount_minor": intent.money.amount_minor,
                "currency": intent.money.currency,
                "card": intent.card,
                "reference": intent.order_id,
            }
            return "/v1/authorisations", body
        case Capture():
            return f"/v1/authorisations/{intent.authorisation}/capture", {}
        case Void():
            return f"/v1/authorisations/{intent.authorisation}/void", {}
        case Refund():
            return f"/v1/authorisations/{intent.authorisation}/refund", {"amount_minor": intent.amount_minor}
