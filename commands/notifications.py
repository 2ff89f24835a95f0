"""What can be asked of a customer's contact, and of a message to them. All of it is asked by the context itself."""

from dataclasses import dataclass

from schemas.notifications import Channel


@dataclass(frozen=True, kw_only=True)
class RecordContact:
    """Asked by the context's own policy: note how a customer can be reached."""

    customer_id: str
    channels: tuple[Channel, ...]


@dataclass(frozen=True, kw_only=True)
class ForgetContact:
    """Asked by the context's own policy: note that a customer was erased."""

    customer_id: str


@dataclass(frozen=True, kw_only=True)
class TellCustomer:
    """Tell the customer of this occasion, once, whichever way they prefer."""

    customer_id: str
    notification_id: str
    order_id: str
    occasion: str
    amount_minor: int = 0
    currency: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class GiveUpTelling:
    """Asked by the clock: nothing became known of the customer."""

    customer_id: str


@dataclass(frozen=True, kw_only=True)
class TellWaiting:
    """Asked by the clock, at once: go on with what waited for a customer who is known by now; `left` is how much."""

    customer_id: str
    left: int


@dataclass(frozen=True, kw_only=True)
class RequestNotification:
    """Asked by the context's own policy: send this."""

    notification_id: str
    customer_id: str
    order_id: str
    occasion: str
    channel: str
    recipient: str
    subject: str
    body: str


@dataclass(frozen=True, kw_only=True)
class RecordDelivery:
    """Asked by the context's own effects: what the channel answered."""

    notification_id: str
    ok: bool
    message_id: str
    reason: str


CustomerCommand = RecordContact | ForgetContact | TellCustomer | GiveUpTelling | TellWaiting
MessageCommand = RequestNotification | RecordDelivery

Own = CustomerCommand | MessageCommand
