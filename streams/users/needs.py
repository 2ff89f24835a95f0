"""What users needs outside: the vault and the identity, which know a person until they are erased."""

from infra.model import IdentityNeeds


class Needs(IdentityNeeds):
    """Nothing but those."""
