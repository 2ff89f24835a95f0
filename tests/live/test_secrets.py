"""Nothing that names a person, and nothing that proves who they are, is in any topic, table, log file or store, or shown by `ps`."""

import asyncio
import json
from pathlib import Path

import psutil
import pytest

from infra.edge import client
from infra.edge.client import Wish
from infra.edge.identity import service as identity
from infra.embedded.secrets import name_of
from infra.kafka import reading
from infra.model.needs import IdentityNeeds, needed
from infra.read import postgres
from infra.settings import address
from tests.live.harness import LiveMesh
from tests.live.shop import cancel_in_bytes, place, receipt, row, until_set_up, user
from tests.live.weft import weft

PASSWORD = "canary-password-5f2c9e"
EMAIL = "canary-address-81d3@example.org"
NAME = "Canary Name-7b1e"
PHONE = "+4915598765432"
CANARIES = [text.encode() for text in (PASSWORD, EMAIL, NAME, PHONE)]
OUTSIDE = "sandbox"  # what the mail and SMS servers of others keep is theirs


@pytest.mark.timeout(120)
def test_what_a_mesh_keeps_is_its_owners_alone_and_nobody_else_reaches_it(own_mesh: LiveMesh) -> None:
    live = own_mesh
    live.ready(live.worker())
    until_set_up(live)
    # nobody else may read or write a file, a folder or a socket of it
    home = live.settings.home
    paths = [path for path in (home, *home.rglob("*")) if not path.is_symlink()]
    assert {str(path): oct(path.stat().st_mode) for path in paths if path.stat().st_mode & 0o066} == {}
    assert any("state" in path.parts for path in paths)
    # and its services listen on this machine only
    services = {name: live.instance.children.get(name) for name in ("kafka", "postgres", OUTSIDE)}
    places = {
        name: {c.laddr.ip for c in psutil.Process(child.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN}
        for name, child in services.items()
        if child is not None
    }
    assert {ip.removeprefix("::ffff:") for ips in places.values() for ip in ips} <= {"127.0.0.1"}


@pytest.mark.timeout(180)
def test_no_canary_is_found_in_topics_tables_logs_or_files(own_mesh: LiveMesh) -> None:
    live = own_mesh
    # given a user who registered with a password, is told by SMS, and changed their name
    live.ready(live.worker())
    until_set_up(live)
    tokens = asyncio.run(tokens_of_a_session(live))
    channels = [{"kind": "sms", "address": PHONE}, {"kind": "email", "address": EMAIL}]
    live.send(
        Wish("users.ChangeContactChannels", "canary", {"channels": channels}),
        Wish("users.ChangeProfile", "canary", {"name": NAME[::-1] + NAME}),
    )
    user(live, "canary", where=lambda r: r["channels"] == "sms, email")
    place(live, "canary-1", customer_id="canary")
    row(live, "SELECT * FROM notifications WHERE order_id = 'canary-1'", where=lambda r: r["status"] == "sent")
    # and a letter of theirs that could not be processed
    live.send(Wish("users.RegisterUser", "canary", {"email": EMAIL, "name": NAME}, "again"))
    cancel_in_bytes(live, "canary-1", "canary-junk", b"\x00\x00\x00\xff\xffjunk")
    receipt(live, "canary-junk")
    shown = {"ps": command_lines(), "status": weft(live, "status", "--json").stdout.encode()}
    live.stop_workers()
    # when everything is dumped and everything written is searched
    searched = {"topics": topics(live), "tables": tables(live), **shown, **files(live.settings.home)}
    keys = {name: str(live.settings.given(name)).encode() for name in live.mesh.outside.makers}
    leaks = [
        (where, canary)
        for where, content in searched.items()
        for canary in (*CANARIES, *tokens, *(key for name, key in keys.items() if where != name_of(name)))
        if canary in content or canary[::-1] in content
    ]
    # then they are nowhere, though the outside has heard of them
    assert leaks == []
    assert PHONE.encode() in (live.settings.home / OUTSIDE / "messages.jsonl").read_bytes()
    assert sum(len(content) for content in searched.values()) > 1_000_000


async def tokens_of_a_session(live: LiveMesh) -> list[bytes]:
    """Of a user who registers."""
    async with identity.opened(needed(live.settings, IdentityNeeds)) as logins:
        wish = Wish("users.RegisterUser", "canary", {"email": EMAIL, "name": NAME})
        live.post([client.asked(live.mesh, await logins.register(live.mesh.codec, wish, PASSWORD))])
        session = await logins.login(EMAIL, PASSWORD)
        await asyncio.to_thread(user, live, "canary")
    return [session.access_token.encode(), session.refresh_token.encode()]


def topics(live: LiveMesh) -> bytes:
    with reading.opened(live.settings) as client:
        names = [name for name in client.list_topics(timeout=10).topics if not name.startswith("__")]
        parts = [
            part
            for batch in reading.read_whole(client, names)
            for r in batch
            for part in (r.key or b"", r.value or b"", json.dumps([(n, str(v)) for n, v in r.headers]).encode())
        ]
    return b"\n".join(parts)


def tables(live: LiveMesh) -> bytes:
    """Every row of every table of ours, as text."""

    async def dump() -> bytes:
        async with postgres.connection(address(live.settings, "postgres")) as db:
            names = await db.fetch(
                "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname NOT LIKE 'pg_%' AND schemaname <> 'information_schema'"
            )
            rows = [r for name in names for r in await db.fetch(f"SELECT t::text AS row FROM {name['name']} t")]
        return "\n".join(r["row"] for r in rows).encode()

    return asyncio.run(dump())


def command_lines() -> bytes:
    """What `ps` shows everybody of the mesh's processes."""
    return "\n".join(" ".join(process.cmdline()) for process in psutil.Process().children(recursive=True)).encode()


def files(home: Path) -> dict[str, bytes]:
    """Every file of the instance but what the outside keeps."""
    contents = {}
    for path in home.rglob("*"):
        if path.is_file() and OUTSIDE not in path.relative_to(home).parts:
            contents[str(path.relative_to(home))] = path.read_bytes()
    return contents
