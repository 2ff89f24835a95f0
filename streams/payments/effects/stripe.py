"""Stripe: a payment is a PaymentIntent that is captured by hand. https://docs.stripe.com/payments/place-a-hold-on-a-payment-method

Every request carries the key of the intent that wanted it as its idempotency key, and both that and the order's id in its
metadata, so that a webhook can say whose outcome it brings, and so that what was asked can be found. Stripe forgets keys after
a day, and remembers an error of its own as an answer until then: so what may have been asked before is looked for before it is
asked again, once it is nearly that old or in doubt. https://docs.stripe.com/api/idempotent_requests

Webhooks come late, twice and out of order: their commands have ids made of Stripe's event ids, and the payment's state takes
only the answer to what it has asked.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import stripe

from commands.payments import RecordGatewayOutcome
from infra import Refusal, Unknown
from infra.edge import outside
from infra.edge.outside import OURS_TO_MEND, is_refusal
from infra.model import Attempt, Perform
from streams.payments.decider import Authorise, Capture, Refund, Void
from streams.payments.needs import Needs

Intent = Authorise | Capture | Void | Refund

WHO = "Stripe"
INTENT = "intent"  # in metadata: the key
REMEMBERED_S = 20 * 3600  # Stripe remembers keys for a day
MAX_NAME = 255
REFUSED = ("requires_payment_method", "requires_confirmation", "requires_action", "canceled")  # nothing is held
TOLERANCE_S = 300
API = "https://api.stripe.com"
STEPS = {  # webhook event: (step, ok)
    "payment_intent.amount_capturable_updated": ("authorise", True),
    "payment_intent.payment_failed": ("authorise", False),
    "payment_intent.succeeded": ("capture", True),
    "payment_intent.canceled": ("void", True),
    "refund.updated": ("refund", True),
    "refund.failed": ("refund", False),
}


class _Client(stripe.AIOHTTPClient):
    """Stripe's, but that what it reads has a bound, and that it goes nowhere else."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(timeout=timeout_s)
        self._asking = outside.client(timeout_s)

    async def request_async(self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None) -> Any:
        try:
            answer = await outside.ask(self._asking, method, url, WHO, headers=dict(headers), data=post_data)
        except Unknown as error:
            raise stripe.APIConnectionError(str(error)) from error  # type: ignore[no-untyped-call]
        return answer.body, answer.status, answer.headers

    async def close_async(self) -> None:
        await self._asking.close()


@asynccontextmanager
async def connect(needs: Needs) -> AsyncIterator[Perform[Intent, RecordGatewayOutcome]]:
    """Stripe, with the key there is; performing raises Unknown for whatever leaves the outcome open."""
    assert needs.stripe_key is not None
    http = _Client(needs.gateway_timeout)
    client = stripe.StripeClient(
        needs.stripe_key.get_secret_value(),
        base_addresses={"api": needs.gateway or API},
        http_client=http,
        max_network_retries=0,  # the runtime retries, with backoff and a circuit breaker
    )
    try:

        async def perform(intent: Intent, attempt: Attempt) -> RecordGatewayOutcome:
            try:
                if (attempt.is_doubtful or attempt.age_s > REMEMBERED_S) and (
                    found := await _looked_up(client, intent, attempt.key)
                ):
                    return found
                return await _answer(client, intent, attempt.key)
            except stripe.StripeError as error:
                raise Unknown(f"{WHO} did not answer: {type(error).__name__} {error.http_status or ''}") from error
            except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
                raise Unknown(f"{WHO} answered something else: {type(error).__name__}") from error

        yield perform
    finally:
        await http.close_async()


async def _answer(client: stripe.StripeClient, intent: Intent, key: str) -> RecordGatewayOutcome:
    """Ask; what Stripe refuses is an answer, unless it may have been done before, or is ours to mend."""
    try:
        return await _ask(client, intent, key)
    except stripe.CardError as error:
        return _outcome(intent, False, "", outside.told(error.user_message or error.code) or "declined")
    except stripe.IdempotencyError:  # the key is known, with other content, or in use: something was asked
        if found := await _looked_up(client, intent, key):
            return found
        raise
    except stripe.StripeError as error:
        if not is_refusal(error.http_status) or error.http_status in OURS_TO_MEND:
            raise
        if isinstance(intent, Capture | Void) and error.code == "payment_intent_unexpected_state":
            # it was done before, or undone: the payment itself says so
            payment = await client.v1.payment_intents.retrieve_async(intent.authorisation)
            if said := _settled(intent, payment):
                return said
            raise
        is_told = isinstance(error, stripe.InvalidRequestError)  # else its text is all that was answered
        why = outside.told(error.code) or (outside.told(error.user_message) if is_told else "") or error.http_status
        return _outcome(intent, False, "", f"refused: {why}")


async def _ask(client: stripe.StripeClient, intent: Intent, key: str) -> RecordGatewayOutcome:
    intents, options = client.v1.payment_intents, cast(Any, {"idempotency_key": key})
    match intent:
        case Authorise(order_id, money, card):
            payment = await intents.create_async(
                {
                    "amount": money.amount_minor,
                    "currency": money.currency.lower(),
                    "payment_method": card,
                    "capture_method": "manual",
                    "confirm": True,
                    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                    "metadata": {"order_id": order_id, INTENT: key},
                },
                options,
            )
            return _authorised(intent, payment)
        case Capture(_, authorisation):
            return _known(_settled(intent, await intents.capture_async(authorisation, {}, options)))
        case Void(_, authorisation):
            return _known(_settled(intent, await intents.cancel_async(authorisation, {}, options)))
        case Refund(order_id, authorisation, refund_id, amount):
            made_refund = await client.v1.refunds.create_async(
                {
                    "payment_intent": authorisation,
                    "amount": amount,
                    "metadata": {"order_id": order_id, "refund_id": refund_id, INTENT: key},
                },
                options,
            )
            if made_refund.status == "pending":  # the same key answers the same, so its own state is asked for
                made_refund = await client.v1.refunds.retrieve_async(made_refund.id)
            return _refunded(intent, made_refund)


async def _looked_up(client: stripe.StripeClient, intent: Intent, key: str) -> RecordGatewayOutcome | None:
    """What became of an intent that may have been asked before; None if it was not, as far as Stripe knows.

    A search knows what is older than a minute; for what is younger Stripe still knows the key.
    """
    match intent:
        case Authorise(order_id):
            query = "metadata['order_id']:'" + order_id.replace("\\", "\\\\").replace("'", "\\'") + "'"
            found = (await client.v1.payment_intents.search_async({"query": query, "limit": 100})).data
            ours = [payment for payment in found if _is_of(payment, {"order_id": order_id}, key)]
            ours.sort(key=lambda payment: payment.status not in ("requires_capture", "succeeded"))
            return _authorised(intent, ours[0]) if ours else None
        case Capture(_, authorisation) | Void(_, authorisation):
            return _settled(intent, await client.v1.payment_intents.retrieve_async(authorisation))
        case Refund(_, authorisation, refund_id):
            refunds = (await client.v1.refunds.list_async({"payment_intent": authorisation, "limit": 100})).data
            made = [refund for refund in refunds if _is_of(refund, {"refund_id": refund_id}, key)]
            return _refunded(intent, made[0]) if made else None


def _is_of(resource: Any, about: Mapping[str, str], key: str) -> bool:
    """Whether it was asked for this intent; what was asked before keys were written down has none."""
    metadata = getattr(resource, "metadata", None)
    said = {} if metadata is None else metadata.to_dict()
    return said.get(INTENT, key) == key and all(said.get(name) == value for name, value in about.items())


def _authorised(intent: Authorise, payment: stripe.PaymentIntent) -> RecordGatewayOutcome:
    status = _text(payment.status)
    if status not in REFUSED and status not in ("requires_capture", "succeeded"):
        raise Unknown(f"the payment is {status}")
    ok = status in ("requires_capture", "succeeded")
    return _outcome(intent, ok, _text(payment.id), "" if ok else f"the payment is {status}")


def _settled(intent: Capture | Void, payment: stripe.PaymentIntent) -> RecordGatewayOutcome | None:
    """None while it is neither captured nor cancelled, and may be."""
    status, name = _text(payment.status), _text(payment.id)
    if status in ("requires_capture", "processing"):
        return None
    if status not in REFUSED and status != "succeeded":
        raise Unknown(f"the payment is {status}")
    if status == "succeeded":  # by us or by hand: what is taken can only be given back
        return replace(_outcome(intent, True, name, ""), step="capture")
    ok = status == "canceled" and isinstance(intent, Void)
    return _outcome(intent, ok, name, "" if ok else f"the payment is {status}")


def _refunded(intent: Refund, refund: stripe.Refund) -> RecordGatewayOutcome:
    status = _text(refund.status)
    if status not in ("succeeded", "failed", "canceled"):
        raise Unknown(f"the refund is {status}")
    ok = status == "succeeded"
    reason = "" if ok else outside.told(getattr(refund, "failure_reason", None)) or "refused"
    return _outcome(intent, ok, intent.authorisation, reason)


def _known(outcome: RecordGatewayOutcome | None) -> RecordGatewayOutcome:
    if outcome is None:
        raise Unknown("the payment is not settled yet")
    return outcome


def _text(value: object) -> str:
    """ValueError if it is none, or too long to be a name or a status."""
    if not isinstance(value, str) or len(value) > MAX_NAME:
        raise ValueError
    return value


def _outcome(intent: Intent, ok: bool, authorisation: str, reason: str) -> RecordGatewayOutcome:
    return RecordGatewayOutcome(
        order_id=intent.order_id,
        step=type(intent).__name__.lower(),
        ok=ok,
        authorisation=authorisation,
        reason=reason,
        refund_id=intent.refund_id if isinstance(intent, Refund) else "",
    )


def hear(needs: Needs, headers: Mapping[str, str], body: bytes) -> tuple[str, RecordGatewayOutcome] | None:
    """A webhook as (command id, command); None if it is of no interest. Refusal if Stripe did not sign it just now."""
    secret = needs.stripe_webhook_secret
    if secret is None:
        raise Refusal("no_secret", "webhooks cannot be verified: set WEFT_STRIPE_WEBHOOK_SECRET")
    try:
        text = body.decode()
        stripe.WebhookSignature.verify_header(
            text, headers.get("Stripe-Signature", ""), secret.get_secret_value(), TOLERANCE_S
        )
        event = json.loads(text)
    except (ValueError, RecursionError, stripe.SignatureVerificationError) as error:
        raise Refusal("bad_signature", "not signed by Stripe, or too long ago") from error
    try:
        return outcome_of(event)
    except (KeyError, TypeError, AttributeError) as error:
        raise Refusal("bad_event", "not an event as Stripe has them") from error


def outcome_of(event: Mapping[str, Any]) -> tuple[str, RecordGatewayOutcome] | None:
    """What a Stripe event says of a payment of ours."""
    meaning = STEPS.get(event["type"])
    resource = event["data"]["object"]
    about = resource.get("metadata") or {}
    if meaning is None or not about.get("order_id"):
        return None
    step, ok = meaning
    if event["type"] == "refund.updated" and resource["status"] != "succeeded":
        return None
    failure = resource.get("last_payment_error") or {}
    outcome = RecordGatewayOutcome(
        order_id=about["order_id"],
        step=step,
        ok=ok,
        authorisation=str((resource.get("payment_intent") if step == "refund" else resource["id"]) or ""),
        reason="" if ok else outside.told(failure.get("message") or resource.get("failure_reason")) or "declined",
        refund_id=about.get("refund_id", "") if step == "refund" else "",
    )
    return f"stripe/{event['id']}", outcome
