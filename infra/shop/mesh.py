"""The shop's mesh: what is in streams/, schemas/ and projections/."""

from infra.mesh import Mesh

CONTEXTS = ("notifications", "orders", "payments", "products", "users")  # the shop; others may join its mesh

mesh = Mesh.of("infra.shop.mesh:mesh", streams="streams", schemas="schemas", projections="projections")
