"""One worker process: any contexts and projections in one event loop. All of them is the modular monolith, one the microservice."""

import asyncio
import faulthandler
import gc
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog

from infra.errors import Unknown
from infra.kafka.log import Producer
from infra.kafka.topics import STOPPED_TOPIC
from infra.mesh import Mesh
from infra.ops.disk import disk_and_budget
from infra.ops.standing import alone, one
from infra.read import projector
from infra.settings import Settings, address
from infra.wire.record import Outgoing
from infra.write.admission import Admission
from infra.write.host import worker
from infra.write.owner import Owner

_log = structlog.get_logger()

# A batch makes some hundred thousand objects, which live as long as the batch or for ever; looking at them every 700 is wasted.
GC_OBJECTS = 100_000
SPARE_THREADS = 16
STOP_SECONDS = 25.0  # less than the 30 after which whoever runs containers kills


def tune() -> None:
    """Settings of the interpreter for a process that holds much state and moves many small objects."""
    gc.set_threshold(GC_OBJECTS, 20, 50)


async def run(mesh: Mesh, names: Sequence[str], settings: Settings, *, leave_with_parent: bool = False) -> int:
    """Run until SIGTERM or SIGINT (or, for a supervised process, until its standard input closes).

    Returns after a clean stop, 1 if some partition stood still by then; raises the first error nobody planned for, with
    everything else stopped.
    """
    contexts, projections = mesh.units(names)
    tune()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # a projector's poll holds a thread for as long as nothing comes; the default pool has cores + 4
    loop.set_default_executor(ThreadPoolExecutor(4 * len(projections) + SPARE_THREADS, "weft"))
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    if leave_with_parent:
        loop.add_reader(sys.stdin, lambda: stop.set() if not os.read(sys.stdin.fileno(), 1) else None)
    disk, budget = disk_and_budget(settings)
    admission = Admission()
    owners: list[Owner] = []
    begin: dict[str, Callable[[], Awaitable[None]]] = {
        name: partial(worker.run, mesh, mesh.context(name), settings, disk, budget, admission, owners.append)
        for name in contexts
    }
    begin |= {f"{name} rows": partial(projector.run, mesh, mesh.projection(name), settings) for name in projections}
    tell = partial(_publish, settings)
    tasks = [asyncio.create_task(alone(unit, run, tell), name=unit) for unit, run in begin.items()]
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
    _log.info("stopping", reason="asked to" if stopped in done else "failed")
    _end_in_time()
    for task in (*tasks, stopped):
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()):
            raise one(error)
    return 1 if any(owner.watch.standing for owner in owners) else 0


def _end_in_time() -> None:
    """End the process if it does not stop by itself: threads of its own keep it in its groups, and nobody gets what it has."""

    def end() -> None:
        _log.error("did not stop in time, and is ended", seconds=STOP_SECONDS)
        faulthandler.dump_traceback()
        os._exit(1)

    timer = threading.Timer(STOP_SECONDS, end)
    timer.daemon = True
    timer.start()


async def _publish(settings: Settings, record: Outgoing) -> None:
    """For whoever asks for the status; what cannot be said now is said again."""
    producer = Producer(address(settings, "kafka"), "weft-standing")
    try:
        await producer.send(STOPPED_TOPIC, [(0, record)])
    except Unknown as error:
        _log.warning("what stands still is not published", error=str(error))
    finally:
        await producer.stop()
