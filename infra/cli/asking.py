"""`weft send` and `weft receipt`: the producer's side."""

import asyncio
import json
import sys
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from infra.cli.console import DONE, FAILED, TIMED_OUT, Flag, Json, at_hand, err, out, reached, until_done
from infra.edge import client
from infra.edge.client import Posted, Wish
from infra.errors import Unreadable, Unusable
from infra.read import postgres
from infra.settings import Settings, address
from infra.wire.record import place_of


def send(
    command: str | None = None,
    /,
    *arguments: str,
    wait: Flag = False,
    projected: Annotated[bool, Parameter(name="--wait-projected", negative=())] = False,
    from_: Annotated[Path | None, Parameter(name="--from", allow_leading_hyphen=True)] = None,
    id: str | None = None,
    timeout: float = 30.0,
    json_: Json = False,
) -> int:
    """Post a command, or a file of them; with --wait, print what became of it.

    Example: `weft send orders.CancelOrder order-1 '{"reason": "changed my mind"}' --wait`

    Example: `weft send --from orders.jsonl` with lines `{"type": "orders.PlaceOrder", "key": "order-1", "payload": {...}}`; `-` is standard input.

    Parameters
    ----------
    command
        Context and command, such as orders.PlaceOrder.
    arguments
        [KEY] JSON: the aggregate's id (may be left out if the payload has it) and the payload.
    wait
        Wait for the receipt: exit 0 if accepted, 1 if refused or rejected, 3 if it does not come in time.
    projected
        Or --wait=projected: wait also until every read model has read what it led to, so that the next query sees it.
    from_
        Post every line of this JSONL file instead.
    id
        The command's id; sending the same id again changes nothing. A new one by default.
    timeout
        Seconds to wait for receipts.
    json_
        Print JSON lines.
    """
    if (command is None) == (from_ is None) or (from_ is None and len(arguments) not in (1, 2)):
        err.print(
            "usage: weft send CONTEXT.Command [KEY] JSON, or weft send --from FILE.jsonl; see weft send --help",
            markup=False,
        )
        return 2
    with ExitStack() as stack:
        if from_ is None:
            assert command is not None
            key, payload = (arguments[0], arguments[1]) if len(arguments) == 2 else (None, arguments[0])
            wishes = [Wish(command, key, _object(payload), id)]
        else:
            try:
                lines = sys.stdin if str(from_) == "-" else stack.enter_context(from_.open())
            except OSError as error:
                raise Unusable(f"cannot read {from_}: {error.strerror}") from error
            wishes = list(client.read_lines(lines))
        s, mesh = reached()
        if wait or projected:
            asyncio.run(_can_wait(s))  # before anything is posted: who cannot wait would send it again
        # all or nothing: a bad line is found before the first is sent
        asked = [client.asked(mesh, wish) for wish in asyncio.run(client.sealed(s, mesh, wishes))]
        posted = client.post_all(s, mesh, asked)
    if not (wait or projected):
        for p in posted if from_ is None or json_ else ():
            _say_posted(p, json_)
        if from_ is not None and not json_:
            out.print(f"{len(posted)} commands posted", markup=False)
        return DONE
    return until_done(_wait(s, posted, timeout, json_, projected))


def _object(payload: str) -> dict[str, Any]:
    try:
        found = json.loads(payload)
    except ValueError as error:
        raise Unreadable("not_json", f"the payload is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Unreadable("not_json", "the payload has to be a JSON object")
    return found


def _say_posted(p: Posted, as_json: bool) -> None:
    place = place_of(p)
    out.print(
        json.dumps({"id": p.id, "topic": p.topic, "partition": p.partition, "offset": p.offset})
        if as_json
        else f"posted {p.id} at {place}",
        markup=False,
    )


async def _can_wait(s: Settings) -> None:
    async with postgres.connection(postgres.analyst(address(s, "postgres"))) as db:
        await client.receipts(db, [])


async def _wait(s: Settings, posted: list[Posted], timeout: float, as_json: bool, projected: bool) -> int:
    deadline = time.monotonic() + timeout
    async with postgres.connection(postgres.analyst(address(s, "postgres"))) as db:
        found = await client.wait_for_receipts(db, posted, timeout)
        tokens = [row["last_event_id"] for row in found.values()] if projected else []
        late = await client.wait_for_projections(db, tokens, deadline - time.monotonic())
    for p in posted:
        if p.id in found:
            _say_receipt(found[p.id], as_json)
    missing = [p for p in posted if p.id not in found]
    if missing:
        contexts = ", ".join(sorted({p.topic.partition(".")[0] for p in missing}))
        err.print(
            f"no receipt for {len(missing)} of {len(posted)} commands after {timeout:g} s: are {contexts} and the projection receipts running? See weft status; later: weft receipt {missing[0].id}",
            markup=False,
        )
        return TIMED_OUT
    if late:
        err.print(
            f"decided, and not read within {timeout:g} s by {', '.join(late)}: are they running? See weft status",
            markup=False,
        )
        return TIMED_OUT
    return DONE if all(row["status"] == "accepted" for row in found.values()) else FAILED


def receipt(command_id: str, /, *, json_: Json = False) -> int:
    """What became of a command: accepted (which events), refused or rejected (why).

    Example: `weft receipt 7c9e6679-7425-40de-944b-e07fc1f90ae7`

    Parameters
    ----------
    command_id
        The id it was posted under, as `weft send` prints it.
    """

    async def look() -> int:
        async with postgres.connection(postgres.analyst(address(s, "postgres"))) as db:
            rows = await client.receipts(db, [command_id])
        for row in rows:
            _say_receipt(row, json_)
        if not rows:
            err.print(
                f"no receipt for {command_id}: it was never posted, or is not decided yet (see weft status)",
                markup=False,
            )
        return DONE if rows else FAILED

    s, _ = at_hand()
    return until_done(look())


def _say_receipt(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        out.print(json.dumps(row, default=lambda v: v.isoformat() if isinstance(v, datetime) else str(v)), markup=False)
        return
    duplicate = ", a duplicate: what stands is the answer to the first" if row.get("duplicate") else ""
    why = f" {row['code']}: {row['reason']}" if row["code"] else f" {row['events']} ({row['last_event_id']})"
    style = "green" if row["status"] == "accepted" else "yellow"
    out.print(f"{row['status']} {row['command_type']} {row['subject']}{duplicate}:{why}", style=style, markup=False)
