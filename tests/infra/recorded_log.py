"""The log of a shop as it was once recorded, with the codec of today."""

from pathlib import Path

from infra.ops import recording
from infra.shop.mesh import mesh

CODEC = mesh.codec
LOG = [r for file in sorted(Path("tests/recorded").glob("*.gz")) for r in recording.read(file)]
