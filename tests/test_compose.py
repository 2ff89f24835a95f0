"""In docker-compose.yml each container has what it needs, and no secret of another's; none is a superuser."""

import re
import stat
import subprocess
import sys
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest

from infra.model.needs import declared
from infra.ops.setup import READ_MODELS
from infra.settings import as_role, service_login
from infra.shop.mesh import mesh
from infra.wire.sealing import KEY_BYTES

TEXT = Path("docker-compose.yml").read_text()
SCRIPT = Path("infra/compose/make_secrets.py")
SECRET = re.compile(r"PASSWORD|KEY|TOKEN|SECRET|POSTGRES")
OURS = (*mesh.contexts, READ_MODELS)


def part(name: str) -> str:
    """A section of the file: `services:` and what is in it."""
    return "".join(re.findall(rf"^{re.escape(name)}:\n((?:(?:  .*)?\n)+)", TEXT, re.MULTILINE))


def services() -> dict[str, str]:
    return dict(re.findall(r"^  ([\w-]+):\n((?:    .*\n)+)", part("services"), re.MULTILINE))


def variables(service: str) -> dict[str, str]:
    return dict(re.findall(r"^      (\w+): (.+)$", services()[service], re.MULTILINE))


def listed(service: str, name: str) -> list[str]:
    found = re.findall(rf"^    {name}: \[(.*)\]$", services()[service], re.MULTILINE)
    return [item.strip(' "') for item in found[0].split(",")] if found else []


def test_every_context_and_what_spans_them_has_a_container() -> None:
    assert set(OURS) <= set(services())


@pytest.mark.parametrize("service", services())
def test_no_secret_stands_in_an_environment(service: str) -> None:
    plain = {name for name in variables(service) if SECRET.search(name) and not name.endswith("_FILE")}
    assert plain == set()


@pytest.mark.parametrize("service", services())
def test_a_container_has_the_secrets_it_reads_and_no_others(service: str) -> None:
    read = [value.removeprefix("/run/secrets/") for name, value in variables(service).items() if name.endswith("_FILE")]
    by_script = ["owner_password"] if service == "postgres" else []
    assert sorted(listed(service, "secrets")) == sorted([*read, *by_script])


@pytest.mark.parametrize("unit", OURS)
def test_a_container_has_a_login_of_its_own(unit: str) -> None:
    assert variables(unit)["WEFT_POSTGRES_FILE"] == f"/run/secrets/postgres_{unit}"


@pytest.mark.parametrize("name", sorted(mesh.contexts))
def test_a_container_has_what_its_context_needs_and_nobody_elses(name: str) -> None:
    given = {v.removesuffix("_FILE").removeprefix("WEFT_").lower() for v in variables(name)} - {"kafka", "postgres"}
    needs = mesh.context(name).needs
    wanted = {n for n in declared(needs) if n in mesh.outside.stand_ins or n in mesh.outside.makers}
    assert wanted <= given <= set(needs.model_fields)


@pytest.mark.parametrize("service", services())
def test_a_container_is_confined(service: str) -> None:
    text = services()[service]
    assert re.search(r"<<: \*(confined|weft|worker)", text)
    assert "privileged: true" not in text
    assert "mem_limit" in text or "<<: *weft" in text or "<<: *worker" in text
    assert "cap_drop: [ALL]" in TEXT.partition("services:")[0]


@pytest.mark.parametrize("name", sorted(mesh.contexts))
def test_what_a_context_has_folded_outlives_its_container(name: str) -> None:
    assert f"{name}:/data" in listed(name, "volumes")
    assert not any(place.startswith("/data") for place in listed(name, "tmpfs"))
    assert re.search(rf"^  {name}:$", part("volumes"), re.MULTILINE)


def test_the_log_outlives_its_container() -> None:
    assert f"kafka:{variables('kafka')['KAFKA_LOG_DIRS']}" in listed("kafka", "volumes")


# -- the script that makes the secrets


def made(where: Path) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-I", SCRIPT.resolve()], cwd=where, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    files = {file.name: file.read_text().strip() for file in (where / "secrets").iterdir()}
    assert not any(secret in done.stdout for secret in files.values())
    return files


def test_every_secret_there_is_is_made_and_no_other(tmp_path: Path) -> None:
    named = dict(re.findall(r"^  ([\w-]+): \{file: secrets/([\w-]+)\}$", part("secrets"), re.MULTILINE))
    assert sorted(made(tmp_path)) == sorted(named.values())
    assert all(name == file for name, file in named.items())


def test_the_keys_are_of_the_length_they_have_to_be(tmp_path: Path) -> None:
    files = made(tmp_path)
    assert {len(urlsafe_b64decode(files[name])) for name in ("vault_key", "token_keys", "push_key")} == {KEY_BYTES}


def test_secrets_are_made_once(tmp_path: Path) -> None:
    assert made(tmp_path) == made(tmp_path)


def test_the_folder_of_secrets_is_its_owners_alone(tmp_path: Path) -> None:
    made(tmp_path)
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


@pytest.mark.parametrize("unit", OURS)
def test_a_service_logs_in_with_the_password_that_setup_gives_it(unit: str, tmp_path: Path) -> None:
    files = made(tmp_path)
    assert files[f"postgres_{unit}"] == as_role(files["postgres_owner"], service_login(unit))


def test_the_vault_keeps_the_key_of_an_env_of_before(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "WEFT_POSTGRES_PASSWORD=before\n# a comment\nWEFT_VAULT_KEY=YmVmb3JlYmVmb3JlYmVmb3JlYmVmb3JlYmVmb3Jl=\n"
    )
    files = made(tmp_path)
    assert (files["superuser_password"], files["vault_key"]) == ("before", "YmVmb3JlYmVmb3JlYmVmb3JlYmVmb3JlYmVmb3Jl=")


def test_an_empty_secret_is_said(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "secrets" / "vault_key").chmod(0o600)
    (tmp_path / "secrets" / "vault_key").write_text("")
    done = subprocess.run([sys.executable, SCRIPT.resolve()], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (done.returncode, "vault_key is empty" in done.stderr) == (1, True)
