"""How any context runs. This is its face: what the author of a context imports, and nothing else."""

from infra.errors import Erased, Refusal, Undeliverable, Unknown
from infra.messages import Discarded, Due, Meta, Parked, Refused, Rejected, changed, is_id
from infra.model.context import Context, Perform, bounded_context

__all__ = [
    "Context",
    "Discarded",
    "Due",
    "Erased",
    "Meta",
    "Parked",
    "Perform",
    "Refusal",
    "Refused",
    "Rejected",
    "Undeliverable",
    "Unknown",
    "bounded_context",
    "changed",
    "is_id",
]
