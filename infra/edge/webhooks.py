"""Webhooks of the outside world: verified, made a command, and answered once the command is in its topic.

POST /webhooks/{context} is given to the context's effects, which know the signature and the words. A webhook that comes
again becomes the same command again, under the same id, and the log takes it once.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from infra.errors import Refusal, Unknown
from infra.kafka.log import Producer, addressed
from infra.mesh import Mesh
from infra.model.needs import needed
from infra.settings import Settings, address
from infra.write.reactions import outgoing_command

_log = structlog.get_logger()
MAX_BODY = 256 * 1024


class Webhooks:
    """The contexts that hear webhooks, behind HTTP."""

    def __init__(self, settings: Settings, mesh: Mesh, producer: Producer) -> None:
        self._mesh = mesh
        self._settings = settings
        self._needs = {c.name: needed(settings, c.needs) for c in mesh.contexts.values() if c.hear}
        self._producer = producer

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        app.add_routes([web.post("/webhooks/{context}", self._hear), web.get("/health", self._health)])
        return app

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _hear(self, request: web.Request) -> web.Response:
        context = self._mesh.contexts.get(request.match_info["context"])
        if context is None or context.hear is None:
            raise web.HTTPNotFound(text="nobody hears webhooks here")
        body = await request.read()
        try:
            heard = context.hear(self._needs[context.name], request.headers, body)
        except Refusal as error:
            _log.warning("webhook refused", context=context.name, code=error.code)
            raise web.HTTPBadRequest(text=f"{error.code}: {error.reason}") from error
        if heard is None:
            return web.json_response({"heard": False})
        identity, command = heard
        record = outgoing_command(self._mesh.codec, command, identity)
        try:
            partitions = context.partition_count(self._settings)
            await self._producer.send(context.own_topic, addressed([record], partitions))
        except Unknown as error:  # the sender tries again
            raise web.HTTPServiceUnavailable(text="try again later") from error
        return web.json_response({"heard": True})


@asynccontextmanager
async def serving(settings: Settings, mesh: Mesh, host: str, port: int) -> AsyncIterator[str]:
    """Serve while the block runs; yields the address."""
    producer = Producer(address(settings, "kafka"), "weft-webhooks")
    runner = web.AppRunner(Webhooks(settings, mesh, producer).app(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield f"http://{host}:{_port(runner.addresses)}"
    finally:
        await runner.cleanup()
        await producer.stop()


def _port(addresses: Iterable[tuple[str, int]]) -> int:
    return next(iter(addresses))[1]


async def serve(settings: Settings, mesh: Mesh, host: str, port: int, stop: asyncio.Event) -> None:
    """Serve until told to stop."""
    async with serving(settings, mesh, host, port) as served:
        _log.info("webhooks", address=served)
        await stop.wait()
