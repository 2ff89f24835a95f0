"""The counter as a context."""

from infra.model import bounded_context
from tests.counter.commands.counter import Asked, Own
from tests.counter.streams.counter import decider, effects, policy

context = bounded_context("counter", decider, asked=Asked, own=Own, policy=policy, effects=effects)
