"""What can be set from outside: WEFT_* variables, read once at start."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from platformdirs import PlatformDirs
from pydantic import AliasChoices, Field, PrivateAttr
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from infra.errors import Unusable

DAY_MS = 86_400_000
IN_A_FILE = "_FILE"
SERVICE_LOGIN = "weft_service_"  # of a deployment whose processes have a login of their own, and not the owner's

# root is a system service to platformdirs, whose state a service user (Postgres refuses to be root) can reach
_DIRS = PlatformDirs("weft", use_site_for_root=True)


def cache_dir() -> Path:
    """Where downloads that any instance may share are kept."""
    return Path(os.environ.get("WEFT_CACHE") or _DIRS.user_cache_dir)


def default_home() -> Path:
    """Where the instance lives that nobody gave a place of its own."""
    return Path(_DIRS.user_state_dir) / "default"


def variable(name: str) -> str:
    """The environment's name of a setting."""
    return f"WEFT_{name.upper()}"


def _others() -> dict[str, str]:
    """The variables that are not settings of the library, by name."""
    given = {
        name.removeprefix("WEFT_").lower(): value for name, value in os.environ.items() if name.startswith("WEFT_")
    }
    return {name: value for name, value in (given | _in_files()).items() if name not in Settings.model_fields}


def _in_files() -> dict[str, str]:
    """What stands in files that WEFT_<NAME>_FILE lead to: so orchestrators hand out what `inspect` and `ps` should not show."""
    found = {}
    for file_variable, path in os.environ.items():
        if not (file_variable.startswith("WEFT_") and file_variable.endswith(IN_A_FILE) and path):
            continue
        plain = file_variable.removesuffix(IN_A_FILE)
        if os.environ.get(plain):
            raise Unusable(f"{plain} is given, and {file_variable} too: unset one of them")
        try:
            content = Path(path).read_text().strip()
        except (OSError, ValueError) as error:
            raise Unusable(f"{file_variable} leads to {path}, which cannot be read: {error}") from None
        if not content:
            raise Unusable(f"{file_variable} leads to {path}, which is empty")
        found[plain.removeprefix("WEFT_").lower()] = content
    return found


class _Files(InitSettingsSource):
    """The library's own settings of those that are given as files."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        found = _in_files()
        super().__init__(settings_cls, {name: found[name] for name in settings_cls.model_fields if name in found})


class Settings(BaseSettings):
    """One instance of the mesh. An address that is not given is served by the embedded instance in `home`.

    `outside` has the other variables, unread: what they mean is said by whoever needs them (infra/model/needs.py).
    """

    # an empty variable is not given, so that a process can take one away from its children
    model_config = SettingsConfigDict(env_prefix="WEFT_", frozen=True, extra="ignore", env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (*sources, named["init_settings"], named["env_settings"], _Files(settings_cls))

    home: Path = Field(default_factory=default_home)
    kafka: str | None = None
    postgres: str | None = Field(default=None, repr=False)  # a password may be in it
    mesh: str | None = Field(
        default=None, description="where the mesh is, module:attribute, if it is not the installed one"
    )
    schema_registry: str | None = Field(
        default=None, repr=False, validation_alias=AliasChoices("SCHEMA_REGISTRY_URL", "WEFT_SCHEMA_REGISTRY")
    )
    partitions: int = Field(default=4, ge=1, le=1000)
    replication: int = Field(default=1, ge=1)
    dedupe_days: int = Field(default=30, ge=1)
    state_mb: int = Field(
        default=256,
        ge=32,
        description="memory for what partitions have folded, in megabytes, all of a worker together; "
        "and for the rows of a rebuild or verification, all of its processes together",
    )
    decided_days: int = Field(
        default=7,
        ge=0,
        description="how long a decided command stays in its topic, at most as long as its id is remembered",
    )
    session_timeout: float = Field(
        default=10.0, ge=6.0, description="seconds until a silent worker loses its partitions"
    )
    _outside: Mapping[str, str] = PrivateAttr(default_factory=_others)

    @property
    def outside(self) -> Mapping[str, str]:
        return self._outside

    @property
    def dedupe_ms(self) -> int:
        """How long a command's id is remembered, in milliseconds."""
        return self.dedupe_days * DAY_MS

    @property
    def decided_ms(self) -> int:
        """How long a decided command stays in its topic, in milliseconds; who reads it again has to know it again."""
        return min(self.decided_days, self.dedupe_days) * DAY_MS

    def given(self, name: str) -> Any:
        """The value of a variable, read or unread; None if it has none."""
        return getattr(self, name) if name in Settings.model_fields else self.outside.get(name) or None

    def having(self, **values: Any) -> "Settings":
        """The same with these variables given."""
        own = {name: value for name, value in values.items() if name in Settings.model_fields}
        others = {name: value for name, value in values.items() if name not in own}
        changed = self.model_copy(update=own)
        changed._outside = {**self.outside, **others}
        return changed


def address(settings: Settings, service: str) -> str:
    """The address of one service, or a clear error that says how to get one."""
    value: str | None = settings.given(service)
    if not value:
        raise Unusable(f"no address for {service}: start the mesh with `weft up`, or set {variable(service)}")
    return value


def as_role(url: str, role: str) -> str:
    """The same server, logged in as `role`: over a Unix socket it is trusted, over TCP its password derives from the URL's.

    The login of a service plays all the roles it may play by itself.
    """
    parts = _parts(url)
    if (parts.username or "").startswith(SERVICE_LOGIN):
        return url
    password = role_password(url, role)
    login = role if password is None else f"{role}:{quote(password, safe='')}"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{login}@{host}"))


def service_login(unit: str) -> str:
    """The login of whoever runs a context, or the read models that span contexts (`read-models`), and nothing else."""
    return SERVICE_LOGIN + unit.replace("-", "_")


def role_password(url: str, role: str) -> str | None:
    """HMAC of the owner's password and the role: one secret to keep, and no role can log in as another."""
    import hmac

    secret = _parts(url).password
    return hmac.new(secret.encode(), role.encode(), "sha256").hexdigest() if secret else None


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # it may have a password in it
        raise Unusable(
            "an address of Postgres cannot be read: it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE, what is odd in a password "
            "as %XX. Is WEFT_POSTGRES right, and are WEFT_VAULT and WEFT_IDENTITY?"
        ) from None
