"""python -m infra.shop.outside DIRECTORY HOST GATEWAY_PORT [SMTP_PORT]: the stand-ins, until SIGTERM; no mail without its port."""

import asyncio
import signal
import sys
from contextlib import aclosing, nullcontext
from pathlib import Path
from typing import Any

from infra.shop.outside import gateway, mail


async def main(directory: Path, host: str, gateway_port: int, smtp_port: int | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    smtp: Any = mail.controller(directory / "mail", host, smtp_port) if smtp_port else None
    with mail.serving(smtp) if smtp else nullcontext():
        async with aclosing(gateway.serve(directory, host, gateway_port)) as serving:
            async for address in serving:
                print(f"gateway {address}" + (f", smtp {host}:{smtp_port}" if smtp_port else ""), flush=True)
                await stop.wait()
                break


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else None))
