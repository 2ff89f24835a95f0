"""E-mail, over SMTP. The Message-ID is the id of the event that wanted it, so a message sent twice shows as one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import SMTP

import aiosmtplib

from infra import Undeliverable, Unknown
from infra.model import Attempt
from streams.notifications.decider.message import Deliver
from streams.notifications.needs import Needs

SENDER = "Weft <shop@weft.example>"


@asynccontextmanager
async def connect(needs: Needs) -> AsyncIterator[Callable[[Deliver, Attempt], Awaitable[str]]]:
    """The mail server; sending returns the Message-ID."""

    async def send(message: Deliver, attempt: Attempt) -> str:
        host, _, port = needs.smtp.removeprefix("smtp://").rpartition(":")
        message_id = f"<{attempt.key.replace('/', '.')}@weft.example>"
        try:
            await aiosmtplib.send(
                _mail(message, message_id),
                hostname=host,
                port=int(port),
                timeout=needs.gateway_timeout,
                start_tls=None,
            )
        except aiosmtplib.SMTPResponseException as error:
            if not 500 <= error.code < 600:
                raise Unknown(f"the mail server answered {error.code}") from error
            raise Undeliverable(f"the mail server answered {error.code}") from error
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise Undeliverable("; ".join(f"the mail server answered {r.code}" for r in error.recipients)) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unknown(f"the mail server did not answer: {type(error).__name__}") from error
        except ValueError as error:  # no server would take a message with such a header
            raise Undeliverable("not a valid address") from error
        return message_id

    yield send


def _mail(message: Deliver, message_id: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = (
        SENDER,
        message.recipient,
        message.subject,
        message_id,
    )
    mail.set_content(message.body)
    return mail
