"""Web Push (RFC 8030), encrypted for the browser (RFC 8291), signed by the shop (RFC 8292).

An address is a PushSubscription as the browser gives it, in JSON. The push service keeps one undelivered message a topic
(RFC 8030, 5.4), so that one sent twice is shown once.

It is a customer who names the host that is asked, so it may be any: it has to be on the public internet, it has a circuit of
its own, and what it says is believed, also that we are not let in. One that does not answer for long is given up: no person
could do more about it.
"""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import blake2b

from pywebpush import Vapid, WebPusher

from infra import Undeliverable, Unknown
from infra.edge import outside
from infra.model import Attempt
from streams.notifications.decider.message import Deliver
from streams.notifications.effects.subscription import Subscription, subscription_of
from streams.notifications.needs import Needs

WHO = "the push service"
TTL_S = 86_400
SIGNED_S = 12 * 3600  # RFC 8292 allows a day, by whoever's clock
PATIENCE_S = 12 * 3600  # with a host that does not answer
CONTACT = "mailto:shop@weft.example"
GONE = (404, 410)  # the browser has unsubscribed


@asynccontextmanager
async def connect(needs: Needs) -> AsyncIterator[Callable[[Deliver, Attempt], Awaitable[str]]]:
    """Any push service a browser names; sending returns the message's topic."""
    async with outside.public_client(needs.gateway_timeout) as public, outside.client(needs.gateway_timeout) as nearby:

        async def send(message: Deliver, attempt: Attempt) -> str:
            if needs.push_key is None:
                raise Unknown("no key to sign push messages with: set WEFT_PUSH_KEY")
            topic = blake2b(attempt.key.encode(), digest_size=16).hexdigest()
            subscription = subscription_of(message.recipient, needs.push)
            content = json.dumps({"title": message.subject, "body": message.body, "tag": topic})
            headers = _signed(subscription, needs.push_key.get_secret_value())
            headers |= {"Content-Encoding": "aes128gcm", "TTL": str(TTL_S), "Topic": topic}
            client = nearby if subscription.is_nearby else public
            try:
                with attempt.through(subscription.host):
                    data = _encrypted(subscription, content.encode())
                    answer = await outside.post(client, subscription.endpoint, WHO, data=data, headers=headers)
                    if 200 <= answer.status < 300:
                        return topic
                    if answer.is_refusal:
                        gone = ": the browser has unsubscribed" if answer.status in GONE else ""
                        raise Undeliverable(f"{WHO} answered {answer.status}{gone}")
                    raise Unknown(f"{WHO} answered {answer.status}")
            except Unknown as error:
                if attempt.age_s > PATIENCE_S:
                    raise Undeliverable(f"{WHO} has not answered for long") from error
                raise

        yield send


def _signed(subscription: Subscription, key: str) -> dict[str, str]:
    claims = {"sub": CONTACT, "aud": subscription.origin, "exp": int(time.time()) + SIGNED_S}
    headers: dict[str, str] = Vapid.from_string(private_key=key).sign(claims)
    return headers


def _encrypted(subscription: Subscription, content: bytes) -> bytes:
    keys = {"p256dh": subscription.p256dh, "auth": subscription.auth}
    encrypted: bytes = WebPusher({"endpoint": subscription.endpoint, "keys": keys}).encode(content)["body"]
    return encrypted
