"""Gathers the evidence of a running mesh and holds it against the laws."""

import asyncio
import os
import time
from collections.abc import Sequence

import aiohttp

from infra.kafka import reading
from infra.mesh import Mesh
from infra.read import verify
from infra.settings import Settings, address
from infra.shop import laws
from infra.shop.laws import Evidence
from infra.shop.outside import mail

PATIENCE_S = 30.0


def read_log(settings: Settings, mesh: Mesh) -> Evidence:
    """Every event of every context, from the first offset to the end."""
    with reading.opened(settings) as client:
        places = reading.partitions_of(client, [c.events_topic for c in mesh.contexts.values()])
        ends = reading.ends(client, places)
        return laws.evidence(mesh.codec, (record for batch in reading.read_all(client, {}, ends) for record in batch))


async def gather(settings: Settings, mesh: Mesh) -> Evidence:
    """The log, the gateway's ledger and the mailbox."""
    evidence = await asyncio.to_thread(read_log, settings, mesh)
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as http,
        http.get(f"{address(settings, 'gateway')}/v1/ledger") as answer,
    ):
        evidence.ledger = await answer.json()
    mails = await asyncio.to_thread(mail.messages, mail.kept_in(settings.home))
    evidence.message_ids = [message["message_id"] for message in mails]
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as http,
        http.get(f"{address(settings, 'sms')}/v1/messages") as answer,
    ):
        evidence.message_ids += [m["message_id"] for m in await answer.json()]
    return evidence


def _rows(settings: Settings, mesh: Mesh) -> list[str]:
    """Where any projection is not the fold of the whole log, once it has had time to read that."""
    deadline = time.monotonic() + PATIENCE_S
    verdicts: dict[str, verify.Verdict] = {}
    behind = list(mesh.projections)
    while behind and (not verdicts or time.monotonic() < deadline):
        verdicts |= {v.name: v for v in verify.verify(settings, mesh, behind, (), os.cpu_count() or 1)}
        behind = [name for name, v in verdicts.items() if v.behind]
    late = [f"{name} is {verdicts[name].behind} records behind" for name in behind]
    return [*late, *(f"{v.name}: {line}" for v in verdicts.values() for line in v.wrong)]


async def audit(settings: Settings, mesh: Mesh) -> tuple[Evidence, Sequence[str]]:
    """The evidence and everything that is wrong with it; the mesh has to be at rest."""
    evidence = await gather(settings, mesh)
    return evidence, [*laws.broken(evidence), *await asyncio.to_thread(_rows, settings, mesh)]
