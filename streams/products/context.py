"""Products as a stream processor: `weft run products`."""

from commands.products import Asked, Own
from infra.model import bounded_context
from streams.products import policy
from streams.products.decider import product, stock

context = bounded_context("products", product, stock, asked=Asked, own=Own, policy=policy)
