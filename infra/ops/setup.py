"""What has to be there before a worker starts, and the mesh as its cluster has it."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from infra import private
from infra.edge import vault
from infra.edge.identity import service as identity
from infra.embedded.secrets import file_of
from infra.kafka import topics
from infra.mesh import Mesh
from infra.model.needs import IdentityNeeds, VaultNeeds, check_fit, needed
from infra.ops import positions
from infra.read import analytics, postgres
from infra.settings import Settings, address

READ_MODELS = "read-models"  # the unit of all that span contexts

if TYPE_CHECKING:
    from infra.wire.registry import Registry


def registered(settings: Settings, mesh: Mesh) -> Mesh:
    """The mesh with the ids of the schema registry, if there is one."""
    if settings.schema_registry is None:
        return mesh
    return mesh.with_ids(_registry(settings.schema_registry).locked(mesh.subjects()))


def _registry(url: str) -> "Registry":
    from infra.wire.registry import Registry  # its HTTP client is loaded where there is one, not by every `weft`

    return Registry(url)


def deployed(settings: Settings, mesh: Mesh) -> Mesh:
    """The mesh with the topics as they were grown, and the ids of the schema registry if there is one.

    Unusable if Kafka does not answer.
    """
    with topics.admin(settings) as client:
        metadata = client.list_topics(timeout=topics.TIMEOUT).topics
    grown = mesh.grown(topics.growth(settings) if topics.GROWN_TOPIC in metadata else {})
    return registered(settings, grown)


def check_given(settings: Settings, mesh: Mesh, names: Sequence[str] = ()) -> None:
    """Unusable says what is given to the contexts of these units and does not fit: nobody has to wait for services to hear that."""
    for name in mesh.units(names)[0]:
        check_fit(settings, mesh.context(name).needs)


def check_needs(settings: Settings, mesh: Mesh, names: Sequence[str]) -> None:
    """Unusable says what the contexts of these units need outside, and nobody gives or serves."""
    for name in mesh.units(names)[0]:
        needed(settings, mesh.context(name).needs)


def check_vault(settings: Settings, mesh: Mesh, names: Sequence[str]) -> None:
    """Unusable if a context of these units has another key than the vault was made with."""
    if any(issubclass(mesh.context(name).needs, VaultNeeds) for name in mesh.units(names)[0]):
        asyncio.run(vault.check(needed(settings, VaultNeeds), vault.place_of_key(settings)))


def check_vault_wants_no_other(settings: Settings) -> None:
    """Unusable if an instance would make a key for a vault elsewhere that has one."""
    private.check_owner(settings.home)
    is_elsewhere = settings.given("vault") or settings.postgres
    if is_elsewhere and not settings.given("vault_key") and not file_of(settings.home, "vault_key").exists():
        asyncio.run(vault.check_unmade(settings))


def prepare(settings: Settings, mesh: Mesh) -> tuple[Mesh, list[str]]:
    """Topics, schemas, tables and roles; safe to repeat.

    Returns the mesh as it is deployed, and the projections whose tables other code made: those stay until they are rebuilt.
    """
    if settings.schema_registry is not None:
        _registry(settings.schema_registry).prepare(mesh.subjects(), mesh.vocabulary.current)
    now = deployed(settings, mesh)
    positions.note_groups(settings, now)
    topics.prepare(settings, now.contexts.values())
    positions.bring_over(settings, now)
    changed = asyncio.run(analytics.prepare(address(settings, "postgres"), now))
    asyncio.run(vault.prepare(settings))
    asyncio.run(identity.prepare(settings))
    for url, plays in _services(settings, now).items():
        asyncio.run(postgres.services(url, plays))
    return now, changed


def _services(settings: Settings, mesh: Mesh) -> dict[str, dict[str, list[str]]]:
    """The roles that whoever runs a context plays, and whoever runs what spans contexts; by database."""
    rows = address(settings, "postgres")
    found: dict[str, dict[str, list[str]]] = {}
    for projection in mesh.projections.values():
        unit = mesh.home_of(projection) or READ_MODELS
        found.setdefault(rows, {}).setdefault(unit, []).append(projection.role)
    for kind, name, role in ((VaultNeeds, "vault", vault.ROLE), (IdentityNeeds, "identity", identity.ROLE)):
        for context in mesh.contexts.values():
            if issubclass(context.needs, kind):
                found.setdefault(settings.given(name) or rows, {}).setdefault(context.name, []).append(role)
    return found
