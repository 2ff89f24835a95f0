"""Stripe: a payment is a PaymentIntent that is captured by hand. https://docs.stripe.com/payments/place-a-hold-on-a-payment-method

Every request carries the id of the event that wanted it as its idempotency key, and the order's id in its metadata, so that
a webhook can say whose outcome it brings. Webhooks come late, twice and out of order: their commands have ids made of
Stripe's event ids, and the payment's state takes only the answer to what it has asked.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import stripe

from commands.payments import RecordGatewayOutcome
from infra import Refusal, Unknown
from infra.model import Attempt, Perform
from streams.payments.decider import Authorise, Capture, Refund, Void
from streams.payments.needs import Needs

Intent = Authorise | Capture | Void | Refund

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


@asynccontextmanager
async def connect(needs: Needs) -> AsyncIterator[Perform[Intent, RecordGatewayOutcome]]:
    """Stripe, with the key there is; performing raises Unknown for whatever leaves the outcome open."""
    assert needs.stripe_key is not None
    http = stripe.AIOHTTPClient(timeout=needs.gateway_timeout)
    client = stripe.StripeClient(
        needs.stripe_key.get_secret_value(),
        base_addresses={"api": needs.gateway or API},
        http_client=http,
        max_network_retries=0,  # the runtime retries, with backoff and a circuit breaker
    )
    try:

        async def perform(intent: Intent, attempt: Attempt) -> RecordGatewayOutcome:
            try:
                return await _ask(client, intent, {"idempotency_key": attempt.key})
            except stripe.CardError as error:
                return _outcome(intent, False, "", error.user_message or error.code or "declined")
            except stripe.InvalidRequestError as error:
                return await _explained(client, intent, error)
            except stripe.StripeError as error:
                raise Unknown(f"Stripe did not answer: {type(error).__name__} {error.http_status or ''}") from error

        yield perform
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]


async def _ask(client: stripe.StripeClient, intent: Intent, options: Any) -> RecordGatewayOutcome:
    intents = client.v1.payment_intents
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
                    "metadata": {"order_id": order_id},
                },
                options,
            )
            ok = payment.status == "requires_capture"
            return _outcome(intent, ok, payment.id, "" if ok else f"the payment is {payment.status}")
        case Capture(_, authorisation):
            return _settled(intent, await intents.capture_async(authorisation, {}, options))
        case Void(_, authorisation):
            return _settled(intent, await intents.cancel_async(authorisation, {}, options))
        case Refund(order_id, authorisation, refund_id, amount):
            made_refund = await client.v1.refunds.create_async(
                {
                    "payment_intent": authorisation,
                    "amount": amount,
                    "metadata": {"order_id": order_id, "refund_id": refund_id},
                },
                options,
            )
            if made_refund.status == "pending":  # the same key answers the same, so its own state is asked for
                made_refund = await client.v1.refunds.retrieve_async(made_refund.id)
            if made_refund.status in ("pending", "requires_action"):
                raise Unknown(f"the refund is {made_refund.status}")
            ok = made_refund.status == "succeeded"
            return _outcome(intent, ok, authorisation, "" if ok else made_refund.failure_reason or "refused")


async def _explained(
    client: stripe.StripeClient, intent: Intent, error: stripe.InvalidRequestError
) -> RecordGatewayOutcome:
    """Stripe refuses the request; where that is because it was done before, or undone, the payment itself says so."""
    if isinstance(intent, Capture | Void) and error.code == "payment_intent_unexpected_state":
        try:
            return _settled(intent, await client.v1.payment_intents.retrieve_async(intent.authorisation))
        except stripe.StripeError as again:
            raise Unknown(f"Stripe did not answer: {type(again).__name__}") from again
    return _outcome(intent, False, "", f"refused: {error.code or error.user_message or 'an invalid request'}")


def _settled(intent: Capture | Void, payment: stripe.PaymentIntent) -> RecordGatewayOutcome:
    ok = payment.status == ("succeeded" if isinstance(intent, Capture) else "canceled")
    return _outcome(intent, ok, payment.id, "" if ok else f"the payment is {payment.status}")


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
    except (ValueError, stripe.SignatureVerificationError) as error:
        raise Refusal("bad_signature", "not signed by Stripe, or too long ago") from error
    return outcome_of(event)


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
        reason="" if ok else failure.get("message") or resource.get("failure_reason") or "declined",
        refund_id=about.get("refund_id", "") if step == "refund" else "",
    )
    return f"stripe/{event['id']}", outcome
