"""Notifications as a stream processor: `weft run notifications`."""

from infra.model import bounded_context
from streams.notifications import effects, policy
from streams.notifications.decider import customer, message
from streams.notifications.needs import Needs

context = bounded_context("notifications", customer, message, policy=policy, effects=effects, needs=Needs)
