"""The mesh of one counter."""

from infra.mesh import Mesh

mesh = Mesh.of("tests.counter.mesh:mesh", streams="tests.counter.streams", schemas="tests.counter.schemas")
