"""How any context runs. This is its face to those who decide, react and project: values, and nothing that reads or writes.

What a context declares of itself, and what its effects are, is in infra.model.
"""

from infra.errors import Erased, Refusal, Undeliverable, Unknown, Unusable
from infra.messages import Discarded, Due, Meta, Parked, Refused, Rejected, changed, derived_id, is_id, shown_json

__all__ = [
    "Discarded",
    "Due",
    "Erased",
    "Meta",
    "Parked",
    "Refusal",
    "Refused",
    "Rejected",
    "Undeliverable",
    "Unknown",
    "Unusable",
    "changed",
    "derived_id",
    "is_id",
    "shown_json",
]
