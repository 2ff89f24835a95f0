"""Users as a stream processor: `weft run users`."""

from commands.users import Asked, Own
from infra.model import bounded_context
from streams.users import effects, policy
from streams.users.decider import email, user
from streams.users.needs import Needs

context = bounded_context("users", user, email, asked=Asked, own=Own, policy=policy, effects=effects, needs=Needs)
