"""Notifications as a stream processor: `weft run notifications`."""

from infra.context import bounded_context
from streams.notifications import decider, effects, policy

context = bounded_context("notifications", decider, policy=policy, effects=effects)
