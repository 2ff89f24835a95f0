"""A payment gateway with a ledger and idempotency keys, as an HTTP service.

POST /v1/authorisations                 {"amount_minor", "currency", "card", "reference"}
POST /v1/authorisations/{id}/capture    {}
POST /v1/authorisations/{id}/void       {}
GET  /v1/ledger                         every entry, oldest first

Every POST needs an `Idempotency-Key`: the same key answers as it did the first time, and 422 if the body differs
(draft-ietf-httpapi-idempotency-key-header). The ledger is one JSON line an entry, synced before the answer.

Cards: `card_declined` is declined; `card_slow` takes a second; `card_flaky` charges and then loses the reply, once a key.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from aiohttp import web

LIMIT_MINOR = 10_000_000


class Ledger:
    """What happened to the money, entry by entry; the file is the truth and is folded at start."""

    def __init__(self, file: Path) -> None:
        self.entries: list[dict[str, Any]] = []
        self.by_key: dict[str, dict[str, Any]] = {}
        self.state: dict[str, str] = {}
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = file.read_bytes() if file.exists() else b""
        kept = whole[: whole.rfind(b"\n") + 1]
        for line in kept.splitlines():
            self._fold(json.loads(line))
        self._file = file.open("r+b" if file.exists() else "w+b")
        self._file.truncate(len(kept))  # a line torn by a crash was never answered
        self._file.seek(len(kept))

    def append(self, entry: dict[str, Any]) -> dict[str, Any]:
        self._file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._fold(entry)
        return entry

    def _fold(self, entry: dict[str, Any]) -> None:
        self.entries.append(entry)
        self.by_key[entry["key"]] = entry
        if entry["outcome"] == "ok":
            self.state[entry["authorisation"]] = entry["step"]


class Gateway:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lost: set[str] = set()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024)
        app.add_routes(
            [
                web.post("/v1/authorisations", self._authorise),
                web.post("/v1/authorisations/{id}/{step:capture|void}", self._settle),
                web.get("/v1/ledger", self._read),
                web.get("/health", self._health),
            ]
        )
        return app

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _read(self, request: web.Request) -> web.Response:
        return web.json_response(self._ledger.entries)

    async def _authorise(self, request: web.Request) -> web.Response:
        key, body = await _asked(request)
        try:
            amount, card = int(body["amount_minor"]), str(body["card"])
            currency, reference = str(body["currency"]), str(body["reference"])
        except (KeyError, TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=f"missing or wrong: {error}") from error
        if card == "card_slow":
            await asyncio.sleep(1)
        declined = (
            "declined by the issuer" if card == "card_declined" else "over the limit" if amount > LIMIT_MINOR else None
        )
        entry = {
            "step": "authorise",
            "amount_minor": amount,
            "currency": currency,
            "reference": reference,
            "outcome": "declined" if declined else "ok",
            "reason": declined or "",
        }
        return self._answer(key, body, card, entry)

    async def _settle(self, request: web.Request) -> web.Response:
        key, body = await _asked(request)
        authorisation, step = request.match_info["id"], request.match_info["step"]
        opened = next((e for e in self._ledger.entries if e["authorisation"] == authorisation), None)
        if opened is None:
            raise web.HTTPNotFound(text=f"no authorisation {authorisation}")
        if key not in self._ledger.by_key and self._ledger.state.get(authorisation) != "authorise":
            raise web.HTTPConflict(
                text=f"{authorisation} is already {self._ledger.state.get(authorisation, 'declined')}"
            )
        entry = {k: opened[k] for k in ("amount_minor", "currency", "reference", "authorisation")} | {
            "step": step,
            "outcome": "ok",
            "reason": "",
        }
        return self._answer(key, body, "", entry)

    def _answer(self, key: str, body: dict[str, Any], card: str, entry: dict[str, Any]) -> web.Response:
        known = self._ledger.by_key.get(key)
        if known is None:
            numbered = {"authorisation": f"auth_{len(self._ledger.entries) + 1}"} | entry
            known = self._ledger.append({"key": key, **numbered, "body": body})
            if card == "card_flaky":
                raise web.HTTPInternalServerError(text="the reply was lost")
        elif known["body"] != body or known["step"] != entry["step"]:
            raise web.HTTPUnprocessableEntity(text=f"key {key} was used for another request")
        return web.json_response({k: known[k] for k in ("authorisation", "outcome", "reason")}, status=201)


async def _asked(request: web.Request) -> tuple[str, dict[str, Any]]:
    key = request.headers.get("Idempotency-Key", "")
    if not 0 < len(key) <= 255:
        raise web.HTTPBadRequest(text="an Idempotency-Key of 1 to 255 characters is needed")
    try:
        body = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(text="the body is not JSON") from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body is not a JSON object")
    return key, body


async def serve(file: Path, host: str, port: int) -> AsyncGenerator[str]:
    """Serve until the generator is closed; yields the address once."""
    runner = web.AppRunner(Gateway(Ledger(file)).app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
