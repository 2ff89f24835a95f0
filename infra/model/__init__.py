"""What a context and a projection are made of: the shapes the runtime knows, and what a context declares itself with."""

from infra.model.context import Attempt, Context, Perform, bounded_context
from infra.model.needs import Address, IdentityNeeds, Secret, StandIn, Variables, VaultNeeds

__all__ = [
    "Address",
    "Attempt",
    "Context",
    "IdentityNeeds",
    "Perform",
    "Secret",
    "StandIn",
    "Variables",
    "VaultNeeds",
    "bounded_context",
]
