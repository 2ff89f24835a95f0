"""How any context runs. This is its face: what the author of a context imports, and nothing else."""

from infra.errors import Erased, Refusal, Undeliverable, Unknown, Unusable
from infra.messages import Discarded, Due, Meta, Parked, Refused, Rejected, changed, is_id
from infra.model.context import Context, Perform, bounded_context
from infra.model.needs import Address, IdentityNeeds, Secret, StandIn, Variables, VaultNeeds

__all__ = [
    "Address",
    "Context",
    "Discarded",
    "Due",
    "Erased",
    "IdentityNeeds",
    "Meta",
    "Parked",
    "Perform",
    "Refusal",
    "Refused",
    "Rejected",
    "Secret",
    "StandIn",
    "Undeliverable",
    "Unknown",
    "Unusable",
    "Variables",
    "VaultNeeds",
    "bounded_context",
    "changed",
    "is_id",
]
