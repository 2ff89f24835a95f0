"""Telling customers: each channel has a module of its own, and addresses are unsealed here, at the last moment."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from commands.notifications import RecordDelivery
from infra import Erased, Undeliverable
from infra.edge import vault
from infra.model import Attempt, Perform
from streams.notifications.decider.message import Deliver
from streams.notifications.needs import Needs


def target(intent: Deliver) -> str:
    return intent.channel


def give_up(intent: Deliver, reason: str) -> RecordDelivery:
    """The customer is not told."""
    return _outcome(intent, "", reason)


@asynccontextmanager
async def connect(needs: Needs) -> AsyncIterator[Perform[Deliver, RecordDelivery]]:
    """Every channel; performing raises Unknown for whatever leaves the outcome open."""
    # their clients are big, and `weft` is often asked other things
    from streams.notifications.effects import email, push, sms

    channels = {"email": email.connect, "sms": sms.connect, "push": push.connect}
    async with AsyncExitStack() as stack:
        keys = await stack.enter_async_context(vault.opened(needs))
        send = {kind: await stack.enter_async_context(open_(needs)) for kind, open_ in channels.items()}

        async def perform(intent: Deliver, attempt: Attempt) -> RecordDelivery:
            try:
                recipient = await keys.unseal(intent.recipient)
            except Erased:
                return _outcome(intent, "", "the customer was erased")
            except ValueError:
                return _outcome(intent, "", "the address is not sealed for the customer")
            try:
                message_id = await send[intent.channel](replace(intent, recipient=recipient), attempt)
            except Undeliverable as error:
                return _outcome(intent, "", str(error))
            return _outcome(intent, message_id, "")

        yield perform


def _outcome(intent: Deliver, message_id: str, reason: str) -> RecordDelivery:
    return RecordDelivery(notification_id=intent.notification_id, ok=not reason, message_id=message_id, reason=reason)
