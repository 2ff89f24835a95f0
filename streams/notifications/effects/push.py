"""Web Push (RFC 8030), encrypted for the browser (RFC 8291), signed by the shop (RFC 8292).

An address is a PushSubscription as the browser gives it, in JSON. The push service keeps one undelivered message a topic
(RFC 8030, 5.4), so that one sent twice is shown once.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import blake2b
from urllib.parse import urlsplit

import aiohttp
from pywebpush import WebPushException, webpush_async

from infra import Undeliverable, Unknown
from infra.model import Attempt
from streams.notifications.decider.message import Deliver
from streams.notifications.needs import Needs

TTL_S = 86_400
CONTACT = "mailto:shop@weft.example"
GONE = (404, 410)  # the browser has unsubscribed


@asynccontextmanager
async def connect(needs: Needs) -> AsyncIterator[Callable[[Deliver, Attempt], Awaitable[str]]]:
    """Any push service a browser names; sending returns the message's topic."""
    async with aiohttp.ClientSession() as client:

        async def send(message: Deliver, attempt: Attempt) -> str:
            if needs.push_key is None:
                raise Unknown("no key to sign push messages with: set WEFT_PUSH_KEY")
            topic = blake2b(attempt.key.encode(), digest_size=16).hexdigest()
            try:
                subscription = json.loads(message.recipient)
                secure = urlsplit(subscription["endpoint"]).scheme == "https"
                if not secure and not subscription["endpoint"].startswith(needs.push or "https://"):
                    raise Undeliverable("a push service has to be reached over https")
                answer = await webpush_async(
                    subscription,
                    data=json.dumps({"title": message.subject, "body": message.body, "tag": topic}),
                    vapid_private_key=needs.push_key.get_secret_value(),
                    vapid_claims={"sub": CONTACT},
                    ttl=TTL_S,
                    timeout=needs.gateway_timeout,
                    headers={"Topic": topic},
                    aiohttp_session=client,
                )
            except WebPushException as error:
                status = getattr(error.response, "status", None)
                if status is None or status == 429 or status >= 500:
                    raise Unknown(f"the push service answered {status}") from error
                gone = ": the browser has unsubscribed" if status in GONE else ""
                raise Undeliverable(f"the push service answered {status}{gone}") from error
            except (aiohttp.ClientError, TimeoutError) as error:
                raise Unknown(f"the push service did not answer: {type(error).__name__}") from error
            except (ValueError, KeyError, TypeError) as error:
                raise Undeliverable("not a PushSubscription of a browser") from error
            if isinstance(answer, aiohttp.ClientResponse):
                answer.release()
            return topic

        yield send
