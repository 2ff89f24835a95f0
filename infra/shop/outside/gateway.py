"""A payment gateway with a ledger and idempotency keys, as an HTTP service.

POST /v1/authorisations                 {"amount_minor", "currency", "card", "reference"}
POST /v1/authorisations/{id}/capture    {}
POST /v1/authorisations/{id}/void       {}
POST /v1/authorisations/{id}/refund     {"amount_minor"}
GET  /v1/ledger                         every entry, oldest first
POST /v1/outage                         {"seconds"}: answers 503 to every other POST for so long

Every POST needs an `Idempotency-Key`: the same key answers as it did the first time, and 422 if the body differs
(draft-ietf-httpapi-idempotency-key-header). The ledger is one JSON line an entry, written before the answer: it
outlives the process, and is no match for a power cut.

Cards: `card_ok`; `card_declined` is declined; `card_slow` takes a second the first time, `card_stuck` four and a half; `card_flaky`
charges and then loses the reply, once a key; `card_lapses` can be authorised and not be captured. Any other is declined.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from infra.shop.outside.messages import Messages

LIMIT_MINOR = 10_000_000
CARDS = ("card_ok", "card_declined", "card_slow", "card_stuck", "card_flaky", "card_lapses")
SECONDS = {"card_slow": 1.0, "card_stuck": 4.5}


class Ledger:
    """What happened to the money, entry by entry; the file is the truth and is folded at start."""

    def __init__(self, file: Path) -> None:
        self.entries: list[dict[str, Any]] = []
        self.by_key: dict[str, dict[str, Any]] = {}
        self.holds: dict[str, dict[str, Any]] = {}
        self.state: dict[str, str] = {}
        self.refunded: dict[str, int] = {}
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = file.read_bytes() if file.exists() else b""
        content = whole[: whole.rfind(b"\n") + 1]
        for line in content.splitlines():
            self._fold(json.loads(line))
        self._file = file.open("r+b" if file.exists() else "w+b")
        self._file.truncate(len(content))  # a line torn by a crash was never answered
        self._file.seek(len(content))

    def append(self, entry: dict[str, Any]) -> dict[str, Any]:
        self._file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        self._fold(entry)
        return entry

    def _fold(self, entry: dict[str, Any]) -> None:
        self.entries.append(entry)
        self.by_key[entry["key"]] = entry
        authorisation = entry["authorisation"]
        if entry["step"] == "authorise":
            self.holds[authorisation] = entry
        if entry["step"] == "refund":
            self.refunded[authorisation] = self.refunded.get(authorisation, 0) + entry["amount_minor"]
        elif entry["outcome"] == "ok":
            self.state[authorisation] = entry["step"]
        elif entry["step"] == "capture":
            self.state[authorisation] = "lapsed"


class Gateway:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._away_until = 0.0
        self._asked: dict[str, float] = {}

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024, middlewares=[self._outage])
        app.add_routes(
            [
                web.post("/v1/authorisations", self._authorise),
                web.post("/v1/authorisations/{id}/{step:capture|void}", self._settle),
                web.post("/v1/authorisations/{id}/refund", self._refund),
                web.post("/v1/outage", self._go_away),
                web.get("/v1/ledger", self._read),
                web.get("/health", self._health),
            ]
        )
        return app

    @web.middleware
    async def _outage(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/v1/authorisations") and time.monotonic() < self._away_until:
            raise web.HTTPServiceUnavailable(text="an outage somebody asked for")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _go_away(self, request: web.Request) -> web.Response:
        self._away_until = time.monotonic() + float((await request.json())["seconds"])
        return web.json_response({})

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
        if key not in self._ledger.by_key:
            began = self._asked.setdefault(key, time.monotonic())  # who asks again waits for what is left
            await asyncio.sleep(max(0.0, began + SECONDS.get(card, 0) - time.monotonic()))
        declined = _declined(card, amount)
        entry = {
            "step": "authorise",
            "amount_minor": amount,
            "currency": currency,
            "reference": reference,
            "outcome": "declined" if declined else "ok",
            "reason": declined,
        }
        return self._answer(key, body, card, entry)

    async def _settle(self, request: web.Request) -> web.Response:
        key, body = await _asked(request)
        authorisation, step = request.match_info["id"], request.match_info["step"]
        hold = self._hold(authorisation)
        if key not in self._ledger.by_key and self._ledger.state.get(authorisation) != "authorise":
            raise web.HTTPConflict(
                text=f"{authorisation} is already {self._ledger.state.get(authorisation, 'declined')}"
            )
        lapses = step == "capture" and hold["body"]["card"] == "card_lapses"
        entry = _about(hold) | {
            "step": step,
            "outcome": "declined" if lapses else "ok",
            "reason": "the authorisation has lapsed" if lapses else "",
        }
        return self._answer(key, body, "", entry)

    async def _refund(self, request: web.Request) -> web.Response:
        key, body = await _asked(request)
        authorisation = request.match_info["id"]
        hold = self._hold(authorisation)
        amount = body.get("amount_minor")
        if not isinstance(amount, int) or amount <= 0:
            raise web.HTTPBadRequest(text="amount_minor has to be a positive number of minor units")
        if key not in self._ledger.by_key:
            if self._ledger.state.get(authorisation) != "capture":
                raise web.HTTPConflict(text=f"{authorisation} was not captured")
            if self._ledger.refunded.get(authorisation, 0) + amount > hold["amount_minor"]:
                raise web.HTTPConflict(text=f"more than was captured of {authorisation}")
        entry = _about(hold) | {"step": "refund", "amount_minor": amount, "outcome": "ok", "reason": ""}
        return self._answer(key, body, "", entry)

    def _hold(self, authorisation: str) -> dict[str, Any]:
        hold = self._ledger.holds.get(authorisation)
        if hold is None:
            raise web.HTTPNotFound(text=f"no authorisation {authorisation}")
        return hold

    def _answer(self, key: str, body: dict[str, Any], card: str, entry: dict[str, Any]) -> web.Response:
        first_entry = self._ledger.by_key.get(key)
        if first_entry is None:
            numbered = {"authorisation": f"auth_{len(self._ledger.entries) + 1}"} | entry
            first_entry = self._ledger.append({"key": key, **numbered, "body": body})
            if card == "card_flaky":
                raise web.HTTPInternalServerError(text="the reply was lost")
        elif first_entry["body"] != body or first_entry["step"] != entry["step"]:
            raise web.HTTPUnprocessableEntity(text=f"key {key} was used for another request")
        return web.json_response({k: first_entry[k] for k in ("authorisation", "outcome", "reason")}, status=201)


def _declined(card: str, amount_minor: int) -> str:
    """Why a card cannot pay; nothing if it can."""
    if card not in CARDS:
        return f"there is no such card; the sandbox has {', '.join(CARDS)}"
    if card == "card_declined":
        return "declined by the issuer"
    return "over the limit" if amount_minor > LIMIT_MINOR else ""


def _about(hold: dict[str, Any]) -> dict[str, Any]:
    return {name: hold[name] for name in ("amount_minor", "currency", "reference", "authorisation")}


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


@asynccontextmanager
async def serving(directory: Path, host: str, ports: Sequence[int]) -> AsyncIterator[None]:
    """Serve gateway, SMS and push, all of them on each port, while the block runs."""
    app = Gateway(Ledger(directory / "ledger.jsonl")).app()
    app.add_routes(Messages(directory / "messages.jsonl").routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        for port in ports:
            await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()
