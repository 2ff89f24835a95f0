"""What is installed is the whole program: schemas, tables and locks are in the wheel, and its entry points find the mesh."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra.shop.mesh import mesh
from tests.readme import block, of_the_shop

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the wheel, where an installer would put them."""
    built, unpacked = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("unpacked")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    zipfile.ZipFile(next(built.glob("*.whl"))).extractall(unpacked)
    return unpacked


def test_it_prints_its_map(installed: Path, tmp_path: Path) -> None:
    command = (
        "import infra, projections; print(infra.__file__, projections.__file__); from infra.cli import main; main()"
    )
    output = subprocess.run(
        [sys.executable, "-c", command, "map"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    where, _, shown = output.partition("\n")
    assert where.count(str(installed)) == 2
    assert of_the_shop(shown).rstrip() == block("weft map")


def test_nothing_that_is_read_at_run_time_is_left_out(installed: Path) -> None:
    for pattern in ("*.avsc", "*.sql", "lock.json", "*.lock"):
        there = {
            f.relative_to(ROOT) for part in ("infra", "schemas", "projections") for f in (ROOT / part).rglob(pattern)
        }
        assert there and {file for file in there if not (installed / file).exists()} == set()
    assert set(mesh.contexts) <= {folder.name for folder in (installed / "schemas").iterdir()}


def test_the_image_installs_it() -> None:
    lines = (ROOT / "infra" / "Dockerfile").read_text()
    assert "pip wheel" in lines and 'ENTRYPOINT ["weft"]' in lines
    assert all(
        f"COPY {part} /src/{part}" in lines for part in ("commands", "infra", "projections", "schemas", "streams")
    )
