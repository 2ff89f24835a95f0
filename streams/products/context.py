"""Products as a stream processor: `weft run products`."""

from infra.model import bounded_context
from streams.products import policy
from streams.products.decider import product, stock

context = bounded_context("products", product, stock, policy=policy)
