"""Payments as a stream processor: `weft run payments`."""

from infra.model import bounded_context
from streams.payments import decider, effects, policy
from streams.payments.needs import Needs

context = bounded_context("payments", decider, policy=policy, effects=effects, needs=Needs)
