from dataclasses import replace

import pytest

from commands.notifications import RecordDelivery, RequestNotification
from schemas.notifications import NotificationFailed, NotificationRequested, NotificationSent
from streams.notifications import decider as notifications
from tests.given import given

ID, ORDER = "order-1/confirmed", "order-1"
TEXT = {"channel": "email", "recipient": "ada@example.org", "subject": "Your order", "body": "Thank you."}

request = RequestNotification(notification_id=ID, order_id=ORDER, **TEXT)
requested = NotificationRequested(notification_id=ID, order_id=ORDER, **TEXT)
sent = NotificationSent(notification_id=ID, order_id=ORDER, message_id="<1@x>")


def delivery(ok: bool) -> RecordDelivery:
    return RecordDelivery(
        notification_id=ID, ok=ok, message_id="<1@x>" if ok else "", reason="" if ok else "no such user"
    )


def test_a_notification_is_requested() -> None:
    given(notifications).when(request).then(requested)


def test_an_occasion_is_told_once() -> None:
    given(notifications, requested, sent).when(request).then()


def test_a_delivery_is_recorded() -> None:
    given(notifications, requested).when(delivery(ok=True)).then(sent)


def test_a_failed_delivery_is_recorded_with_its_reason() -> None:
    failed = NotificationFailed(notification_id=ID, order_id=ORDER, reason="no such user")
    given(notifications, requested).when(delivery(ok=False)).then(failed)


def test_a_channel_that_is_not_there_is_refused() -> None:
    given(notifications).when(replace(request, channel="pigeon")).then_refused("unknown_channel")


def test_a_delivery_nobody_asked_for_is_unknown() -> None:
    given(notifications).when(delivery(ok=True)).then_refused("unknown_notification")


@pytest.mark.parametrize(("history", "open_"), [((), False), ((requested,), True), ((requested, sent), False)])
def test_a_notification_is_due_until_it_is_closed(history: tuple[object, ...], open_: bool) -> None:
    state = notifications.initial
    for event in history:
        state = notifications.evolve(state, event)
    assert (notifications.pending(ID, state) is not None) == open_
