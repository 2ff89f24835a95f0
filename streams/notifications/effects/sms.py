"""SMS, over Twilio's message API: https://www.twilio.com/docs/messaging/api/message-resource

Twilio knows no idempotency keys: a crash between its answer and ours may send a message twice. Its text ends with a mark
that is the same both times, so that such a pair can be told from two messages.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import blake2b

import aiohttp

from infra import Undeliverable, Unknown
from infra.model import Attempt
from streams.notifications.decider.message import Deliver
from streams.notifications.needs import Needs

MAX_BODY = 1600  # characters; Twilio's limit


@asynccontextmanager
async def connect(needs: Needs) -> AsyncIterator[Callable[[Deliver, Attempt], Awaitable[str]]]:
    """The message API; sending returns the mark the message carries."""
    timeout = aiohttp.ClientTimeout(total=needs.gateway_timeout)
    token = needs.sms_token.get_secret_value() if needs.sms_token else ""
    auth = aiohttp.BasicAuth(needs.sms_account, token)
    async with aiohttp.ClientSession(timeout=timeout, auth=auth) as client:

        async def send(message: Deliver, attempt: Attempt) -> str:
            mark = blake2b(attempt.key.encode(), digest_size=4).hexdigest()
            url = f"{needs.sms}/2010-04-01/Accounts/{needs.sms_account}/Messages.json"
            text = f"{message.subject}. {message.body}"[: MAX_BODY - 12]
            form = {"To": message.recipient, "From": needs.sms_from, "Body": f"{text} ({mark})"}
            try:
                async with client.post(url, data=form) as answer:
                    content = await answer.json(content_type=None)
                    if answer.status == 201:
                        return mark
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                raise Unknown(f"the SMS service did not answer: {type(error).__name__}") from error
            if answer.status in (401, 403, 429) or answer.status >= 500:  # ours to mend, or to wait for
                raise Unknown(f"the SMS service answered {answer.status}")
            raise Undeliverable(f"the SMS service answered {answer.status}, code {content.get('code')}")

        yield send
