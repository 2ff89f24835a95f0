"""E-mail, over SMTP. The Message-ID is the id of the event that wanted it, so a message sent twice shows as one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import SMTP

import aiosmtplib

from commands.notifications import RecordDelivery
from infra.context import Perform
from infra.errors import Unknown
from infra.settings import Settings, address
from streams.notifications.decider import Deliver, pending

__all__ = ["connect", "pending"]

SENDER = "Weft <shop@weft.example>"


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Perform[Deliver, RecordDelivery]]:
    """The mail server of `settings` (`host:port`); performing raises Unknown for whatever leaves the outcome open."""
    host, _, port = address(settings, "smtp").removeprefix("smtp://").rpartition(":")

    async def perform(intent: Deliver, key: str) -> RecordDelivery:
        message_id = f"<{key.replace('/', '.')}@weft.example>"
        try:
            await aiosmtplib.send(
                _message(intent, message_id),
                hostname=host,
                port=int(port),
                timeout=settings.gateway_timeout,
                start_tls=None,
            )
        except aiosmtplib.SMTPResponseException as error:
            if not 500 <= error.code < 600:
                raise Unknown(f"the mail server answered {error.code} {error.message}") from error
            return _outcome(intent, "", f"{error.code} {error.message}")
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _outcome(intent, "", "; ".join(f"{r.code} {r.message}" for r in error.recipients))
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unknown(f"the mail server did not answer: {error!r}") from error
        except ValueError as error:  # no server would take a message with such a header
            return _outcome(intent, "", f"not a valid message: {error}")
        return _outcome(intent, message_id, "")

    yield perform


def _message(intent: Deliver, message_id: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"], message["Message-ID"] = (
        SENDER,
        intent.recipient,
        intent.subject,
        message_id,
    )
    message.set_content(intent.body)
    return message


def _outcome(intent: Deliver, message_id: str, reason: str) -> RecordDelivery:
    return RecordDelivery(notification_id=intent.notification_id, ok=not reason, message_id=message_id, reason=reason)
