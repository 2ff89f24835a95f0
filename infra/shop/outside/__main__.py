"""python -m infra.shop.outside DIRECTORY HOST NAME=PORT ...: the stand-ins for these addresses, until SIGTERM."""

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from infra.shop.outside import gateway, mail

HTTP = ("gateway", "sms", "push")
MAIL = "smtp"


async def main(directory: Path, host: str, ports: dict[str, int]) -> None:
    if unknown := ports.keys() - {*HTTP, MAIL}:
        sys.exit(
            f"nobody here stands in for {', '.join(sorted(unknown))}; these are served: {', '.join((*HTTP, MAIL))}"
        )
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with AsyncExitStack() as stack:
        if MAIL in ports:
            stack.enter_context(mail.serving(mail.controller(directory / mail.FOLDER, host, ports[MAIL])))
        if http_ports := [ports[name] for name in HTTP if name in ports]:
            await stack.enter_async_context(gateway.serving(directory, host, http_ports))
        print("serving", *(f"{name} at {host}:{port}" for name, port in ports.items()), flush=True)
        await stop.wait()


def _ports(words: list[str]) -> dict[str, int]:
    return {name: int(port) for name, _, port in (word.partition("=") for word in words)}


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], _ports(sys.argv[3:])))
