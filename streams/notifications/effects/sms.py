"""SMS, over Twilio's message API: https://www.twilio.com/docs/messaging/api/message-resource

Twilio knows no idempotency keys: a crash between its answer and ours may send a message twice. Its text ends with a mark
that is the same both times, so that such a pair can be told from two messages.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import blake2b

import aiohttp

from infra import Undeliverable, Unknown
from infra.edge import outside
from infra.edge.outside import OURS_TO_MEND
from infra.model import Attempt
from streams.notifications.decider.message import Deliver
from streams.notifications.needs import Needs

WHO = "the SMS service"
MAX_BODY = 1600  # characters; Twilio's limit
MADE = 201  # says it all: whoever asks again because of what else is said sends another message


@asynccontextmanager
async def connect(needs: Needs) -> AsyncIterator[Callable[[Deliver, Attempt], Awaitable[str]]]:
    """The message API; sending returns the mark the message carries."""
    token = needs.sms_token.get_secret_value() if needs.sms_token else ""
    headers = {"Authorization": aiohttp.encode_basic_auth(needs.sms_account, token)}
    async with outside.client(needs.gateway_timeout) as client:

        async def send(message: Deliver, attempt: Attempt) -> str:
            mark = blake2b(attempt.key.encode(), digest_size=4).hexdigest()
            url = f"{needs.sms}/2010-04-01/Accounts/{needs.sms_account}/Messages.json"
            text = f"{message.subject}. {message.body}"[: MAX_BODY - 12]
            form = {"To": message.recipient, "From": needs.sms_from, "Body": f"{text} ({mark})"}
            answer = await outside.post(client, url, WHO, data=form, headers=headers)
            if answer.status == MADE:
                return mark
            if answer.is_refusal and answer.status not in OURS_TO_MEND:
                code = answer.content.get("code")
                raise Undeliverable(f"{WHO} answered {answer.status}, code {code if isinstance(code, int) else '?'}")
            raise Unknown(f"{WHO} answered {answer.status}")

        yield send
