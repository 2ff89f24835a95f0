"""What processes that read a log need, made where it is imported: in the server they are forked from, and nowhere else."""

from infra import mesh
from infra.rebuild import bulk
from infra.verify import verify

__all__ = ["bulk", "verify"]

mesh.codec()
mesh.projections()
