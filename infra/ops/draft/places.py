"""Where the code of an application is: a package for each question, a folder for each package."""

from dataclasses import dataclass
from pathlib import Path

from infra.errors import Unusable
from infra.mesh import Mesh, folder


@dataclass(frozen=True)
class Place:
    package: str
    folder: Path


def places(mesh: Mesh) -> dict[str, Place]:
    """By question: commands, schemas, streams, projections, tests. Unusable if this is no source that one can add to."""
    answers = {name: Place(package, folder(package)) for name, package in vars(mesh.packages).items() if package}
    schemas = answers["schemas"]
    beside = schemas.package.removesuffix(schemas.folder.name)
    answers |= {name: Place(beside + name, schemas.folder.with_name(name)) for name in ("commands", "tests")}
    missing = [n for n in ("commands", "projections", "tests") if n not in answers or not answers[n].folder.is_dir()]
    if missing:
        raise Unusable(
            f"{mesh.source} has no {' and no '.join(missing)} in {schemas.folder.parent}: nothing was written"
        )
    return answers
