"""What a context needs outside, as its own package says it in needs.py: one field a variable, WEFT_ and the field's name.

    class Needs(Variables):
        carrier: Annotated[str, Address(StandIn("carrier", "streams.shipping.carrier"), "http://{}")]
        carrier_key: Annotated[SecretStr | None, Secret()] = None
        carrier_timeout: float = 5.0

What has no default has to be given before a worker starts. An address or a secret says so; what says nothing is plain.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from infra.errors import Unusable
from infra.settings import Settings, variable
from infra.wire.sealing import random_key

V = TypeVar("V", bound="Variables")
SERVICES = ("kafka", "postgres")  # what the library itself needs


@dataclass(frozen=True)
class StandIn:
    """A program that serves addresses on this machine: `python -m <module> DIRECTORY HOST NAME=PORT ...`, until SIGTERM.

    It has a port of its own for each address, and keeps its data in DIRECTORY, `name` in the instance's home.
    """

    name: str
    module: str


@dataclass(frozen=True)
class Address:
    """Where something listens. Where none is given, it is `form`, filled with the host:port of `stand_in`, or what `instead` is.

    Nothing stands in where the variable `unless` is given.
    """

    stand_in: StandIn | None = None
    form: str = "{}"
    instead: str | None = None
    unless: str | None = None


@dataclass(frozen=True)
class Secret:
    """What nobody else may know. An embedded instance makes one with `make`, and keeps it."""

    make: Callable[[], str] | None = None


class Variables(BaseModel):
    """Variables that somebody reads, and sees no others."""

    model_config = ConfigDict(frozen=True)


class VaultNeeds(Variables):
    """The vault: the URL of its database, and the key that wraps all others. Who loses it has erased everybody."""

    vault: Annotated[str, Address(instead="postgres")]
    vault_key: Annotated[SecretStr, Secret(random_key)]


class IdentityNeeds(VaultNeeds):
    """The identity: the URL of its database, and Ed25519 seeds, base64url, the signing one first, commas in between."""

    identity: Annotated[str, Address(instead="postgres")]
    token_keys: Annotated[SecretStr, Secret(random_key)]


def declared(kind: type[Variables]) -> dict[str, Address | Secret]:
    """The addresses and the secrets among the variables, by name."""
    return {
        name: declaration
        for name, info in kind.model_fields.items()
        for declaration in info.metadata
        if isinstance(declaration, Address | Secret)
    }


def needed(settings: Settings, kind: type[V]) -> V:
    """The variables as they are given; Unusable names each that is missing or does not fit."""
    try:
        return kind.model_validate(_values(settings, kind))
    except ValidationError as error:
        raise _unusable(kind, error.errors(include_input=False)) from None


def check_fit(settings: Settings, kind: type[Variables]) -> None:
    """Unusable names each variable that is given and does not fit; what is missing may be served yet."""
    try:
        kind.model_validate(_values(settings, kind))
    except ValidationError as error:
        if wrong := [e for e in error.errors(include_input=False) if e["type"] != "missing"]:
            raise _unusable(kind, wrong) from None


def _values(settings: Settings, kind: type[Variables]) -> dict[str, Any]:
    declarations = declared(kind)
    values = {name: _given(settings, name, declarations.get(name)) for name in kind.model_fields}
    return {name: value for name, value in values.items() if value is not None}


def _unusable(kind: type[Variables], errors: Sequence[ErrorDetails]) -> Unusable:
    declarations = declared(kind)
    return Unusable("; ".join(dict.fromkeys(_wrong(declarations, e) for e in errors)))


def _given(settings: Settings, name: str, declaration: Address | Secret | None) -> Any:
    instead = declaration.instead if isinstance(declaration, Address) else None
    return settings.given(name) or (settings.given(instead) if instead else None)


def _wrong(declarations: Mapping[str, Address | Secret], error: ErrorDetails) -> str:
    name = ".".join(map(str, error["loc"]))
    return (
        _how_to_give(name, declarations.get(name))
        if error["type"] == "missing"
        else f"{variable(name)}: {error['msg']}"
    )


def _how_to_give(name: str, declaration: Address | Secret | None) -> str:
    up = "start the mesh with `weft up`, or "
    match declaration:
        case Address(instead=str() as other):
            return f"no address for {other}: {up}set {variable(other)}"
        case Address():
            return f"no address for {name}: {up if declaration.stand_in else ''}set {variable(name)}"
        case Secret(make) if make:
            return f"no {kind_of(name)} key: {up}set {variable(name)} (`weft key {kind_of(name)}` makes one)"
        case _:
            return f"no {name.replace('_', ' ')}: set {variable(name)}"


def kind_of(secret: str) -> str:
    """What `weft key` calls it: vault for WEFT_VAULT_KEY, token for WEFT_TOKEN_KEYS."""
    return secret.rpartition("_")[0] or secret


@dataclass(frozen=True)
class Outside:
    """The addresses and secrets that the parts of a mesh declare, by name."""

    addresses: Mapping[str, Address] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)

    @classmethod
    def of(cls, *kinds: type[Variables]) -> "Outside":
        """All that these declare; Unusable if two of them say different things of one variable."""
        declarations: dict[str, Address | Secret] = {}
        for kind in kinds:
            for name, declaration in declared(kind).items():
                if declarations.setdefault(name, declaration) != declaration:
                    raise Unusable(f"{kind.__module__} declares {variable(name)} otherwise than another context does")
        return cls(
            {name: declaration for name, declaration in declarations.items() if isinstance(declaration, Address)},
            {name: declaration for name, declaration in declarations.items() if isinstance(declaration, Secret)},
        )

    @property
    def named(self) -> tuple[str, ...]:
        """Every address there is, the library's own first."""
        return (*SERVICES, *self.addresses)

    @property
    def makers(self) -> dict[str, Callable[[], str]]:
        """What makes the secrets that an instance can make for itself."""
        return {name: secret.make for name, secret in self.secrets.items() if secret.make}

    @property
    def stand_ins(self) -> dict[str, StandIn]:
        """Who can serve an address, by its name."""
        return {name: declaration.stand_in for name, declaration in self.addresses.items() if declaration.stand_in}

    def missing(self, settings: Settings) -> list[str]:
        """The variables that nobody gave, but for addresses that another variable makes needless."""
        needless = {
            name
            for name, declaration in self.addresses.items()
            if declaration.unless and settings.given(declaration.unless)
        }
        return [name for name in (*self.named, *self.secrets) if not settings.given(name) and name not in needless]

    def wanted(self, settings: Settings) -> dict[StandIn, list[str]]:
        """The stand-ins to start, each with the addresses it has to serve since nobody gave them."""
        names: dict[StandIn, list[str]] = {}
        for name in self.missing(settings):
            if name in self.stand_ins:
                names.setdefault(self.stand_ins[name], []).append(name)
        return names

    def nothing_given(self, settings: Settings) -> Settings:
        """The settings of an instance that serves and makes everything itself: no address and no secret is given."""
        return settings.having(**dict.fromkeys(SERVICES), **dict.fromkeys((*self.addresses, *self.secrets), ""))
