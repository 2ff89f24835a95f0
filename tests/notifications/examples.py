from typing import Any

from pydantic import SecretStr

from commands.notifications import (
    ForgetContact,
    GiveUpTelling,
    RecordContact,
    RecordDelivery,
    RequestNotification,
    TellCustomer,
    TellWaiting,
)
from schemas.notifications import (
    Channel,
    ChannelChosen,
    ContactForgotten,
    ContactRecorded,
    NotificationRequested,
    NotificationSent,
    TellingPostponed,
    TellingSkipped,
)
from streams.notifications.needs import Needs

CUSTOMER, ORDER, ID = "customer-1", "order-1", "order-1/confirmed"
OCCASION = {"customer_id": CUSTOMER, "notification_id": ID, "order_id": ORDER, "occasion": "confirmed"}
MONEY = {"amount_minor": 2630, "currency": "EUR", "detail": ""}
TEXT = {
    "channel": "email",
    "recipient": "sealed address",
    "subject": "Your order order-1 is confirmed",
    "body": "Thank you. 26.30 EUR will be charged to your card.",
}
email, sms = Channel(kind="email", address="sealed address"), Channel(kind="sms", address="sealed number")

tell = TellCustomer(**OCCASION, **MONEY)
record = RecordContact(customer_id=CUSTOMER, channels=(email,))
forget = ForgetContact(customer_id=CUSTOMER)
give_up = GiveUpTelling(customer_id=CUSTOMER)
go_on = TellWaiting(customer_id=CUSTOMER, left=1)
postponed = TellingPostponed(**OCCASION, **MONEY)
chosen = ChannelChosen(**OCCASION, **TEXT)
known = ContactRecorded(customer_id=CUSTOMER, channels=(email,))
forgotten = ContactForgotten(customer_id=CUSTOMER)

request = RequestNotification(**OCCASION, **TEXT)
record_sent = RecordDelivery(notification_id=ID, ok=True, message_id="<1@x>", reason="")
requested = NotificationRequested(**OCCASION, **TEXT)
sent = NotificationSent(notification_id=ID, order_id=ORDER, message_id="<1@x>")


def skipped(reason: str) -> TellingSkipped:
    return TellingSkipped(**OCCASION, reason=reason)


def needs(**given: Any) -> Needs:
    """What is needed outside, of which a test gives what it is about."""
    return Needs(**{"vault": "-", "vault_key": SecretStr("-"), "smtp": "-", "sms": "-"} | given)
