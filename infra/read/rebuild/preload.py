"""What processes that read a log need, imported in the server they are forked from, and nowhere else."""

from infra.read.rebuild import bulk
from infra.read.verify import verify

__all__ = ["bulk", "verify"]
