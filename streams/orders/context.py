"""Orders as a stream processor: `weft run orders`."""

from commands.orders import Asked, Own
from infra.model import bounded_context
from streams.orders import decider, policy

context = bounded_context("orders", decider, asked=Asked, own=Own, policy=policy)
