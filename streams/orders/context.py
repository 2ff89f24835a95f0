"""Orders as a stream processor: `weft run orders`."""

from infra.model import bounded_context
from streams.orders import decider, policy

context = bounded_context("orders", decider, policy=policy)
