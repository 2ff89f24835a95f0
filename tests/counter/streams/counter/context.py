"""The counter as a context."""

from infra.model import bounded_context
from tests.counter.streams.counter import decider, effects, policy

context = bounded_context("counter", decider, policy=policy, effects=effects)
