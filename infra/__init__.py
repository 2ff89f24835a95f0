"""How any context runs. This is its face: what the author of a context imports, and nothing else."""

from infra.errors import Unknown, Unreadable
from infra.messages import Discarded, Due, Meta, Parked, Refused, Rejected, changed, is_id
from infra.model.context import Context, Perform, bounded_context

__all__ = [
    "Context",
    "Discarded",
    "Due",
    "Meta",
    "Parked",
    "Perform",
    "Refused",
    "Rejected",
    "Unknown",
    "Unreadable",
    "bounded_context",
    "changed",
    "is_id",
]
