"""The shop's mesh: what is in streams/, schemas/ and projections/."""

from infra.mesh import Mesh

mesh = Mesh.of("infra.shop.mesh:mesh", streams="streams", schemas="schemas", projections="projections")
