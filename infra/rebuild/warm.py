"""What every process of a bulk load needs, made once: the server they are forked from imports this module."""

from infra import mesh
from infra.rebuild import bulk

__all__ = ["bulk"]

mesh.codec()
mesh.projections()
