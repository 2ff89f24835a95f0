"""E-mail, over SMTP. The Message-ID is made of the intent's key, so a message sent twice shows as one."""

import re
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
# RFC 5321, 4.1.2 and 4.5.3.1, but for quoted names and address literals, which nobody has who buys here
MAX_ADDRESS, MAX_LOCAL = 254, 64
LOCAL = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.ASCII | re.I)


@asynccontextmanager
async def connect(needs: Needs) -> AsyncIterator[Callable[[Deliver, Attempt], Awaitable[str]]]:
    """The mail server; sending returns the Message-ID."""

    async def send(message: Deliver, attempt: Attempt) -> str:
        host, _, port = needs.smtp.removeprefix("smtp://").rpartition(":")
        message_id = f"<{attempt.key.replace('/', '.')}@weft.example>"
        recipient = address_of(message.recipient)
        try:
            await aiosmtplib.send(
                _mail(message, recipient, message_id),
                recipients=[recipient],
                hostname=host,
                port=int(port),
                timeout=needs.gateway_timeout,
                start_tls=None,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _answered(error.recipients[0].code if error.recipients else None) from error
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError) as error:
            raise _answered(error.code) from error
        except aiosmtplib.SMTPResponseException as error:  # to our greeting or login: it was not asked to send anything
            raise Unknown(f"the mail server does not let us in: {error.code}") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise Unknown(f"the mail server did not answer: {type(error).__name__}") from error
        return message_id

    yield send


def _answered(code: int | None) -> Undeliverable | Unknown:
    """A reply of 5xx is no; one of 4xx is not now (RFC 5321, 4.2.1), and 530 to 538 say that we have to log in (RFC 4954)."""
    if code is not None and 500 <= code < 600 and not 530 <= code <= 538:
        return Undeliverable(f"the mail server answered {code}")
    return Unknown(f"the mail server answered {code}")


def address_of(text: str) -> str:
    """The one address that a text is, as SMTP has it; Undeliverable, which names nobody, if it is not just that."""
    local, _, domain = text.strip(" ").rpartition("@")
    if not local.isascii():
        raise Undeliverable("not an e-mail address in ASCII in front of its @")
    try:
        domain = domain.encode("idna").decode()
    except UnicodeError as error:
        raise Undeliverable("not one e-mail address: nothing is called so") from error
    address = f"{local}@{domain}"
    if len(address) > MAX_ADDRESS or len(local) > MAX_LOCAL:
        raise Undeliverable(f"an e-mail address has at most {MAX_ADDRESS} characters, {MAX_LOCAL} in front of its @")
    if not (LOCAL.fullmatch(local) and DOMAIN.fullmatch(domain)):
        raise Undeliverable("not one e-mail address")
    return address


def _mail(message: Deliver, recipient: str, message_id: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Message-ID"] = SENDER, recipient, message_id
    mail["Subject"] = " ".join(message.subject.split())
    mail.set_content(message.body)
    return mail
