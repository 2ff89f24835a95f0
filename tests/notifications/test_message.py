from dataclasses import replace

import pytest

from infra.testing.given import given
from schemas.notifications import NotificationFailed
from streams.notifications.decider import message
from tests.notifications.examples import ID, ORDER, record_sent, request, requested, sent

record_failed = replace(record_sent, ok=False, message_id="", reason="no such user")


def test_a_notification_is_requested() -> None:
    given(message).when(request).then(requested)


def test_an_occasion_is_told_once() -> None:
    given(message, requested, sent).when(request).then()


def test_a_delivery_is_recorded() -> None:
    given(message, requested).when(record_sent).then(sent)


def test_a_failed_delivery_is_recorded_with_its_reason() -> None:
    failed = NotificationFailed(notification_id=ID, order_id=ORDER, reason="no such user")
    given(message, requested).when(record_failed).then(failed)


def test_a_channel_that_is_not_there_is_refused() -> None:
    given(message).when(replace(request, channel="pigeon")).then_refused("unknown_channel")


def test_a_delivery_nobody_asked_for_is_unknown() -> None:
    given(message).when(record_sent).then_refused("unknown_notification")


@pytest.mark.parametrize(("history", "open_"), [((), False), ((requested,), True), ((requested, sent), False)])
def test_a_notification_is_due_until_it_is_closed(history: tuple[object, ...], open_: bool) -> None:
    state = message.initial
    for event in history:
        state = message.evolve(state, event)
    assert (message.pending(ID, state) is not None) == open_
