"""Payments as a stream processor: `weft run payments`."""

from commands.payments import Asked, Own
from infra.model import bounded_context
from streams.payments import decider, effects, policy
from streams.payments.needs import Needs

context = bounded_context("payments", decider, asked=Asked, own=Own, policy=policy, effects=effects, needs=Needs)
