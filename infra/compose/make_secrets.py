"""Makes the secrets of docker-compose.yml, a file each, in `secrets/`: `python3 infra/compose/make_secrets.py`, once.

Which there are is what docker-compose.yml says. What is there stays as it is. A `.env` of before is asked first, so that the vault keeps its key. Of Python itself only, since
it runs before there is an image. The folder is its owner's alone; the files are not, since a container's user has to read them.
"""

import hmac
import os
import re
import sys
from base64 import urlsafe_b64encode
from pathlib import Path
from secrets import token_bytes, token_hex

SERVER = "postgres:5432/weft"
OWNER = "weft_owner"
COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
SECRET = re.compile(r"^  ([\w-]+): \{file: secrets/", re.MULTILINE)
PASSWORDS = ("superuser_password", "owner_password", "postgres_owner")
ADDRESS = "postgres_"  # what the names of addresses begin with, each with the login of what runs in a container
OF_BEFORE = Path(".env")


def key() -> str:
    """32 bytes in base64url, as `weft key` makes them."""
    return urlsafe_b64encode(token_bytes(32)).decode()


def of_before() -> dict[str, str]:
    """What an `.env` of before gives, by the name of the variable."""
    lines = OF_BEFORE.read_text().splitlines() if OF_BEFORE.exists() else []
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs if value.strip()}


def kept(folder: Path, name: str, fresh: str) -> str:
    """The secret of that name: what is there, or else the fresh one, written whole."""
    file = folder / name
    if not file.exists():
        scratch = folder / f".{name}.new"
        with scratch.open("w") as out:
            out.write(fresh + "\n")
            out.flush()
            os.fsync(out.fileno())
        scratch.chmod(0o444)
        scratch.replace(file)
    secret = file.read_text().strip()
    if not secret:
        raise SystemExit(f"{file} is empty: put it back from a backup, or remove it if nothing was ever made with it")
    return secret


def main(folder: Path) -> None:
    """Make what is missing."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    before, names = of_before(), [name for name in SECRET.findall(COMPOSE.read_text()) if name not in PASSWORDS]
    for name in (name for name in names if not name.startswith(ADDRESS)):
        kept(folder, name, before.get(f"WEFT_{name.upper()}") or key())
    kept(folder, "superuser_password", before.get("WEFT_POSTGRES_PASSWORD") or token_hex(32))
    owner = kept(folder, "owner_password", token_hex(32))
    kept(folder, "postgres_owner", f"postgresql://{OWNER}:{owner}@{SERVER}")
    for name in (name for name in names if name.startswith(ADDRESS)):
        login = f"weft_service_{name.removeprefix(ADDRESS).replace('-', '_')}"
        password = hmac.new(owner.encode(), login.encode(), "sha256").hexdigest()  # as `weft setup` gives it
        kept(folder, name, f"postgresql://{login}:{password}@{SERVER}")
    print(f"the secrets are in {folder}; who loses {folder / 'vault_key'} has erased everybody")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "secrets"))
