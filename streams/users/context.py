"""Users as a stream processor: `weft run users`."""

from infra.model import bounded_context
from streams.users import effects, policy
from streams.users.decider import email, user
from streams.users.needs import Needs

context = bounded_context("users", user, email, policy=policy, effects=effects, needs=Needs)
