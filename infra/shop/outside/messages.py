"""An SMS service and a push service that keep what arrives, as HTTP services.

POST /2010-04-01/Accounts/{account}/Messages.json   as Twilio's message API; To=+15005550001 is refused, as there
POST /push/{subscription}                           as a push service (RFC 8030); the subscription `gone` is gone
GET  /v1/messages                                   everything that arrived, oldest first
"""

import json
import re
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

from aiohttp import web

INVALID_NUMBER = "+15005550001"  # https://www.twilio.com/docs/iam/test-credentials
MARK = re.compile(r"\(([0-9a-f]{8})\)$")


class Messages:
    """What arrived, in a file of one JSON line a message."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = file

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/2010-04-01/Accounts/{account}/Messages.json", self._sms),
            web.post("/push/{subscription}", self._push),
            web.get("/v1/messages", self._read),
        ]

    async def _sms(self, request: web.Request) -> web.Response:
        form = await request.post()
        to, body = str(form.get("To", "")), str(form.get("Body", ""))
        if to == INVALID_NUMBER or not re.fullmatch(r"\+[1-9]\d{6,14}", to):
            return web.json_response(
                {"code": 21211, "message": "The 'To' number is not valid.", "status": 400}, status=400
            )
        mark = MARK.search(body)
        self._keep({"kind": "sms", "to": to, "text": body, "message_id": mark[1] if mark else ""})
        return web.json_response({"sid": "SM00000000000000000000000000000000", "status": "queued"}, status=201)

    async def _push(self, request: web.Request) -> web.Response:
        subscription = request.match_info["subscription"]
        if subscription == "gone":
            raise web.HTTPGone(text="unsubscribed")
        if not request.headers.get("Authorization", "").startswith("vapid "):
            raise web.HTTPUnauthorized(text="no VAPID")
        body = urlsafe_b64encode(await request.read()).decode()
        self._keep({"kind": "push", "to": subscription, "body": body, "message_id": request.headers.get("Topic", "")})
        return web.Response(status=201)

    async def _read(self, request: web.Request) -> web.Response:
        return web.json_response(arrived(self._file))

    def _keep(self, message: dict[str, Any]) -> None:
        with self._file.open("a") as out:
            out.write(json.dumps(message) + "\n")


def arrived(file: Path) -> list[dict[str, Any]]:
    """Every message in the file, oldest first."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
