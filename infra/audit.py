"""Gathers the evidence of a running mesh and holds it against the laws."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from infra import laws, mesh, postgres, reading
from infra.laws import Evidence
from infra.sandbox import mail
from infra.settings import Settings, address, as_role


def read_log(settings: Settings) -> Evidence:
    """Every event of every context, from the first offset to the end."""
    with reading.opened(settings) as client:
        places = reading.partitions_of(client, [c.events_topic for c in mesh.contexts().values()])
        ends = reading.ends(client, places)
        return laws.evidence(mesh.codec(), (record for batch in reading.read_all(client, {}, ends) for record in batch))


async def gather(settings: Settings) -> Evidence:
    """The log, the gateway's ledger and the mailbox."""
    found = await asyncio.to_thread(read_log, settings)
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as http,
        http.get(f"{address(settings, 'gateway')}/v1/ledger") as answer,
    ):
        found.ledger = await answer.json()
    if settings.mailbox:
        found.message_ids = [m["message_id"] for m in await asyncio.to_thread(mail.messages, Path(settings.mailbox))]
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as http,
        http.get(f"{address(settings, 'sms')}/v1/messages") as answer,
    ):
        found.message_ids += [m["message_id"] for m in await answer.json()]
    return found


async def differences(settings: Settings, found: Evidence) -> list[str]:
    """Where any projection is not the fold of the log."""
    result: list[str] = []
    for projection in mesh.projections().values():
        async with postgres.connection(as_role(address(settings, "postgres"), projection.role)) as db:
            rows = await db.fetch(f"SELECT {', '.join(projection.columns)} FROM {projection.schema}.{projection.name}")
        result += laws.row_differences(projection, found, rows)
    return result


async def audit(settings: Settings) -> tuple[Evidence, Sequence[str]]:
    """The evidence and everything that is wrong with it; the mesh has to be at rest."""
    found = await gather(settings)
    return found, [*laws.broken(found), *await differences(settings, found)]
