"""Somebody outside over HTTP, who answers what a test says and keeps what was asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Said:
    """An answer as it goes over the wire."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Somebody:
    """At `address`; the last of the `answers` is repeated for ever."""

    answers: list[Said]
    address: str = ""
    asked: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.bodies.append(await request.read())
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=said.status, body=said.body, headers=said.headers)


@asynccontextmanager
async def answering(*answers: Said) -> AsyncIterator[Somebody]:
    somebody = Somebody(list(answers))
    app = web.Application(client_max_size=1 << 22)
    app.router.add_route("*", "/{any:.*}", somebody.answer)
    async with serving(app) as somebody.address:
        yield somebody


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
