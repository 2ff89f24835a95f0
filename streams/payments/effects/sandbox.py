"""The payment gateway, over HTTP. Every request carries the key of the intent that wanted it as its idempotency key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from commands.payments import RecordGatewayOutcome
from infra import Unknown, Unusable
from infra.edge import outside
from infra.edge.outside import OURS_TO_MEND, Answer
from infra.model import Attempt, Perform
from streams.payments.decider import Authorise, Capture, Refund, Void
from streams.payments.needs import Needs

Intent = Authorise | Capture | Void | Refund

WHO = "the payment gateway"
MAX_NAME = 255  # characters of an authorisation's


@asynccontextmanager
async def connect(needs: Needs) -> AsyncIterator[Perform[Intent, RecordGatewayOutcome]]:
    """The gateway; performing raises Unknown for whatever leaves the outcome open. Unusable if there is none."""
    if needs.gateway is None:
        raise Unusable("no address for gateway: start the mesh with `weft up`, or set WEFT_GATEWAY, or WEFT_STRIPE_KEY")
    async with outside.client(needs.gateway_timeout, base_url=needs.gateway) as client:

        async def perform(intent: Intent, attempt: Attempt) -> RecordGatewayOutcome:
            path, body = _request(intent)
            answer = await outside.post(client, path, WHO, json=body, headers={"Idempotency-Key": attempt.key})
            return _outcome(intent, answer)

        yield perform


def _outcome(intent: Intent, answer: Answer) -> RecordGatewayOutcome:
    if answer.is_refusal and answer.status not in OURS_TO_MEND:
        said, authorisation, reason = "refused", "", f"{WHO} refused it: {answer.status}"
    else:
        said, authorisation, reason = _said(answer)
    return RecordGatewayOutcome(
        order_id=intent.order_id,
        step=type(intent).__name__.lower(),
        ok=said == "ok",
        authorisation=authorisation,
        reason=reason,
        refund_id=intent.refund_id if isinstance(intent, Refund) else "",
    )


def _said(answer: Answer) -> tuple[str, str, str]:
    """Outcome, authorisation and reason of an answer that has them."""
    match answer.content if answer.status == 201 else {}:
        case {
            "outcome": "ok" | "declined" as said,
            "authorisation": str() as authorisation,
            "reason": str() as reason,
        } if len(authorisation) <= MAX_NAME:
            return said, outside.told(authorisation), outside.told(reason)
    raise Unknown(f"{WHO} answered {answer.status}, and nothing that says what became of it")


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
            return f"{_of(intent.authorisation)}/capture", {}
        case Void():
            return f"{_of(intent.authorisation)}/void", {}
        case Refund():
            return f"{_of(intent.authorisation)}/refund", {"amount_minor": intent.amount_minor}


def _of(authorisation: str) -> str:
    return f"/v1/authorisations/{quote(authorisation, safe='')}"
