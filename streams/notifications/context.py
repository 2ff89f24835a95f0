"""Notifications as a stream processor: `weft run notifications`."""

from commands.notifications import Own
from infra.model import bounded_context
from streams.notifications import effects, policy
from streams.notifications.decider import customer, message
from streams.notifications.needs import Needs

context = bounded_context("notifications", customer, message, own=Own, policy=policy, effects=effects, needs=Needs)
