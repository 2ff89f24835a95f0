"""Asking somebody outside over HTTP: what they answer is read up to a bound, and where they point to is not gone.

A status of 4xx is an answer, however often it is asked; but for those that say "not now", and those that say that we are not
let in, which is ours to mend. What nobody foresaw is no answer.
"""

import asyncio
import json
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from infra.errors import Undeliverable, Unknown

MAX_ANSWER = 64 * 1024  # bytes
MAX_TOLD = 200  # characters of what somebody outside says, that are kept
RESOLVED_AT_ONCE = 8  # names
NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
NOT_NOW = (408, 409, 425, 429)
OURS_TO_MEND = (401, 403, 407)


@dataclass(frozen=True)
class Answer:
    """`body` is empty if it is over MAX_ANSWER."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_refusal(self) -> bool:
        """Whether it is no, and will be."""
        return is_refusal(self.status)

    @property
    def content(self) -> Mapping[str, Any]:
        """The JSON object it is; empty if it is none."""
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}


def is_refusal(status: int | None) -> bool:
    return status is not None and 400 <= status < 500 and status not in NOT_NOW


def client(timeout_s: float, **more: Any) -> aiohttp.ClientSession:
    """What is answered is not unpacked, since a small answer may become a very large one; and nobody's cookies are kept."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    headers = {"Accept-Encoding": "identity"}
    jar = aiohttp.DummyCookieJar()
    return aiohttp.ClientSession(timeout=timeout, auto_decompress=False, headers=headers, cookie_jar=jar, **more)


async def post(client: aiohttp.ClientSession, url: str, who: str, **request: Any) -> Answer:
    """What `who` answers; Unknown if that is nothing."""
    return await ask(client, "POST", url, who, **request)


async def ask(client: aiohttp.ClientSession, method: str, url: str, who: str, **request: Any) -> Answer:
    try:
        async with client.request(method, url, allow_redirects=False, **request) as response:
            return Answer(response.status, await _bounded(response), response.headers)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unknown(f"{who} did not answer: {type(error).__name__}") from error


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MAX_ANSWER:
            return b""
    return bytes(body)


def told(text: object) -> str:
    """What somebody outside says, fit to be kept; empty if it is no text."""
    return text[:MAX_TOLD].encode(errors="replace").decode() if isinstance(text, str) else ""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet's; not so one that leads to another (RFC 4291, 3056, 4380)."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if ip.version == 6 and (ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip.is_site_local):
        return False
    is_special = ip.is_private or ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_reserved
    return ip.is_global and not is_special


class PublicResolver(AbstractResolver):
    """Knows no address but public ones. What it finds is what is connected to, so a name cannot mean another one then.

    A host that is an address itself is not resolved: whoever asks it looks at it before. It has threads of its own, since whoever
    names a host may have those wait who look for it.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVED_AT_ONCE, "resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        look = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, look)
        except UnicodeError as error:
            raise Undeliverable("no host is called so") from error
        public = [entry for entry in found if is_public(str(entry[4][0]))]
        if found and not public:
            raise Undeliverable("the host is not on the public internet")
        return [
            ResolveResult(hostname=host, host=str(place[0]), port=port, family=kind, proto=proto, flags=NUMERIC)
            for kind, _, proto, _, place in public
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def public_client(timeout_s: float) -> aiohttp.ClientSession:
    """A client that asks hosts on the public internet only. It remembers no names: anybody may name as many as they like."""
    return client(timeout_s, connector=aiohttp.TCPConnector(resolver=PublicResolver(), use_dns_cache=False))
