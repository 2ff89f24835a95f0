"""What can be set from outside: WEFT_* variables, read once at start."""

import os
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from platformdirs import PlatformDirs
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.errors import Unusable

# root is a system service to platformdirs, whose state a service user (Postgres refuses to be root) can reach
_DIRS = PlatformDirs("weft", use_site_for_root=True)


def cache_dir() -> Path:
    """Where downloads that any instance may share are kept."""
    return Path(os.environ.get("WEFT_CACHE") or _DIRS.user_cache_dir)


def default_home() -> Path:
    """Where the instance lives that nobody gave a place of its own."""
    return Path(_DIRS.user_state_dir) / "default"


class Settings(BaseSettings):
    """One instance of the mesh. An address that is not given is served by the embedded instance in `home`."""

    model_config = SettingsConfigDict(env_prefix="WEFT_", frozen=True, extra="ignore")

    home: Path = Field(default_factory=default_home)
    kafka: str | None = None
    postgres: str | None = None
    gateway: str | None = None
    smtp: str | None = None
    mailbox: str | None = None
    sms: str | None = None
    sms_account: str = "AC00000000000000000000000000000000"
    sms_token: SecretStr | None = None
    sms_from: str = "+15005550006"
    push: str | None = Field(default=None, description="a push service that may be reached without TLS")
    push_key: SecretStr | None = Field(default=None, description="VAPID private key, raw, base64url")
    vault: str | None = None
    vault_key: SecretStr | None = None
    identity: str | None = None
    token_keys: SecretStr | None = Field(default=None, description="Ed25519 seeds, the signing one first")
    mesh: str | None = Field(
        default=None, description="where the mesh is, module:attribute, if it is not the installed one"
    )
    schema_registry: str | None = Field(
        default=None, validation_alias=AliasChoices("SCHEMA_REGISTRY_URL", "WEFT_SCHEMA_REGISTRY")
    )
    partitions: int = Field(default=4, ge=1, le=1000)
    replication: int = Field(default=1, ge=1)
    dedupe_days: int = Field(default=30, ge=1)
    session_timeout: float = Field(
        default=10.0, ge=6.0, description="seconds until a silent worker loses its partitions"
    )
    stripe_key: SecretStr | None = None
    stripe_webhook_secret: SecretStr | None = None
    gateway_timeout: float = Field(default=5.0, gt=0)


def address(settings: Settings, service: str) -> str:
    """The address of one service, or a clear error that says how to get one."""
    value: str | None = getattr(settings, service)
    if not value:
        raise Unusable(f"no address for {service}: start the mesh with `weft up`, or set WEFT_{service.upper()}")
    return value


def as_role(url: str, role: str) -> str:
    """The same server, logged in as `role`: over a Unix socket it is trusted, over TCP its password derives from the URL's."""
    parts = urlsplit(url)
    password = role_password(url, role)
    login = role if password is None else f"{role}:{quote(password, safe='')}"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{login}@{host}"))


def role_password(url: str, role: str) -> str | None:
    """HMAC of the owner's password and the role: one secret to keep, and no role can log in as another."""
    import hmac

    secret = urlsplit(url).password
    return hmac.new(secret.encode(), role.encode(), "sha256").hexdigest() if secret else None
