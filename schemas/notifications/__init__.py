"""What happens to what customers are told: to a customer's contact, and to each message; two kinds of aggregates."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A way to a customer, the preferred one first: `kind` is email, sms or push; `address` is sealed."""

    kind: str
    address: str
    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class ContactRecorded:
    """These are the ways to reach a customer."""

    customer_id: str
    channels: tuple[Channel, ...]


@dataclass(frozen=True, kw_only=True)
class ContactForgotten:
    """The customer cannot be reached any more, and is not to be."""

    customer_id: str


@dataclass(frozen=True, kw_only=True)
class TellingPostponed:
    """Nothing is known yet of the customer; they are told as soon as it is."""

    customer_id: str
    notification_id: str
    order_id: str
    occasion: str
    amount_minor: int
    currency: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class ChannelChosen:
    """The customer is told this, this way."""

    customer_id: str
    notification_id: str
    order_id: str
    occasion: str
    channel: str
    recipient: str
    subject: str
    body: str


@dataclass(frozen=True, kw_only=True)
class TellingSkipped:
    """The customer is not told, and why."""

    customer_id: str
    notification_id: str
    order_id: str
    occasion: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class NotificationRequested:
    """This is to be sent, in these words."""

    notification_id: str
    customer_id: str
    order_id: str
    occasion: str
    channel: str
    recipient: str
    subject: str
    body: str


@dataclass(frozen=True, kw_only=True)
class NotificationSent:
    """It was handed over to the channel, under this id."""

    notification_id: str
    order_id: str
    message_id: str


@dataclass(frozen=True, kw_only=True)
class NotificationFailed:
    """The channel will not deliver it, however often it is asked."""

    notification_id: str
    order_id: str
    reason: str


CustomerEvent = ContactRecorded | ContactForgotten | TellingPostponed | ChannelChosen | TellingSkipped
MessageEvent = NotificationRequested | NotificationSent | NotificationFailed
