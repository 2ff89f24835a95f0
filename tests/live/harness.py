"""A real mesh for live tests: services from the chosen backend, worker processes that tests may kill."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from confluent_kafka import Consumer, Producer

from infra import private
from infra.cli.running import prepare
from infra.edge import client
from infra.edge.client import Asked, Posted, Wish
from infra.embedded.instance import Instance, environment
from infra.kafka import reading
from infra.mesh import Mesh
from infra.read import postgres
from infra.read.rebuild import Stage
from infra.settings import Settings, address
from infra.wire.record import Outgoing, partition_of

T = TypeVar("T")
ROOT = Path(__file__).parent.parent.parent
LENIENCE = 3  # a test says how long a thing takes where there is room; how fast the mesh is, is for `weft bench` to say


def until(condition: Callable[[], T], patience: float, what: str | Callable[[], str]) -> T:
    """The first true value of a condition; an assertion error, saying what is then, when it does not come in time."""
    deadline = time.monotonic() + LENIENCE * patience
    while not (value := condition()):
        assert time.monotonic() < deadline, (
            f"not within {LENIENCE * patience} s: {what if isinstance(what, str) else what()}"
        )
        time.sleep(0.05)
    return value


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """A data directory that the service user of Postgres can reach, unlike pytest's own."""
    home = Path(tempfile.mkdtemp(prefix="weft-test-"))
    home.chmod(0o711)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


class LiveMesh:
    """Services are up and prepared; workers are started by the test."""

    def __init__(self, instance: Instance, settings: Settings, mesh: Mesh) -> None:
        self.mesh = mesh
        self.instance = instance
        self.settings = settings
        self._workers: list[subprocess.Popen[bytes]] = []
        self._contexts: dict[int, set[str]] = {}  # by process
        self._logs = settings.home / "logs"

    # -- workers

    def worker(self, *names: str, module: str = "infra.cli", **known: str) -> subprocess.Popen[bytes]:
        """A worker process of the named units, all by default, with other settings if `known` has any.

        `module` may be one that breaks a rule on purpose.
        """
        with open(self._logs / f"worker-{len(self._workers)}.log", "ab", opener=private.opener) as log:
            child = subprocess.Popen(
                [sys.executable, "-m", module, "run", *names],
                env={**os.environ, **environment(self.settings.having(**known))},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )
        self._workers.append(child)
        self._contexts[child.pid] = set(self.mesh.units(names)[0])
        return child

    def stop_workers(self) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.terminate()
        for worker in self._workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def log_of(self, worker: subprocess.Popen[bytes]) -> Path:
        return self._logs / f"worker-{self._workers.index(worker)}.log"

    def said(self, worker: subprocess.Popen[bytes], event: str) -> list[dict[str, Any]]:
        """What a worker's log says of such an event."""
        text = self.log_of(worker).read_text()
        whole = text[: text.rfind("\n") + 1].splitlines()  # the last line may be on its way
        lines = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]

    def ready(self, worker: subprocess.Popen[bytes]) -> None:
        """Wait until every context of a worker has passed its barrier."""

        def missing() -> set[str]:
            assert worker.poll() is None, self.log_of(worker).read_text()[-3000:]
            return self._contexts[worker.pid] - {line["context"] for line in self.said(worker, "ready")}

        until(lambda: not missing(), 40, lambda: f"the worker is ready: {missing()} are not")

    # -- commands and rows

    def post(self, commands: Sequence[Asked]) -> list[Posted]:
        return client.post_all(self.settings, self.mesh, commands)

    def send(self, *wishes: Wish) -> list[Posted]:
        """Seal and post."""
        sealed = asyncio.run(client.sealed(self.settings, self.mesh, wishes))
        return self.post([client.asked(self.mesh, wish) for wish in sealed])

    def produce(self, topic: str, value: bytes | None, key: bytes | None, **headers: bytes) -> None:
        """A record by a client that is not ours."""
        self.post_record(topic, Outgoing(key, value, list(headers.items())))

    def post_record(self, topic: str, record: Outgoing) -> None:
        """Any record."""
        producer = Producer({"bootstrap.servers": self.settings.kafka, "message.max.bytes": 2_000_000})
        number = partition_of(record.key or b"", self.settings.partitions)
        producer.produce(topic, record.value, record.key, number, headers=list(record.headers))
        assert producer.flush(20) == 0

    def query(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        async def ask() -> list[asyncpg.Record]:
            async with postgres.connection(postgres.analyst(address(self.settings, "postgres"))) as db:
                return list(await db.fetch(sql, *values))

        return asyncio.run(ask())

    def length(self, topic: str) -> int:
        """How many records a topic has."""
        return sum(reading.ends(self._reader, reading.partitions_of(self._reader, [topic])).values())

    def length_of(self, topic: str, partition: int) -> int:
        """Where a partition of a topic ends."""
        return reading.bounds(self._reader, (topic, partition))[1]

    @cached_property
    def _reader(self) -> Consumer:
        return reading.consumer(address(self.settings, "kafka"))

    def last_words(self) -> str:
        """What the processes said last: all that is left of a mesh whose test failed."""
        tails = {log.name: log.read_text(errors="replace").splitlines()[-15:] for log in self._logs.glob("*.log")}
        return "\n".join(f"{name}: {line[:400]}" for name, lines in tails.items() for line in lines)

    # -- faults

    def kill(self, service: str) -> None:
        child = self.instance.children.get(service)
        assert child is not None
        child.kill()
        child.wait()

    @contextlib.contextmanager
    def supervised(self) -> Iterator[None]:
        """What `weft up` does all the time: start again what died."""
        stop = threading.Event()
        thread = threading.Thread(target=self.instance.supervise, args=(stop.is_set,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@contextlib.contextmanager
def live_mesh(mesh: Mesh, backend: str, **known: Any) -> Iterator[LiveMesh]:
    """Services of a mesh; everything is gone afterwards."""
    with directory() as home, contextlib.ExitStack() as stack:
        if backend == "containers":
            from tests.live.containers import services

            known |= stack.enter_context(services())
        known = {"home": home, "session_timeout": 6.0, **known}
        settings = mesh.outside.nothing_given(Settings()).having(**known)
        instance = stack.enter_context(Instance(settings, mesh.outside, lambda text: None, lambda done, total: None))
        settings = instance.start_services()
        live = LiveMesh(instance, settings, prepare(settings, mesh))
        try:
            yield live
        finally:
            live.stop_workers()
            if kafka := instance.children.get("kafka"):
                kafka.kill()  # its data goes as well: it need not take the time to put it in order


def stage(processes: int = 1, may_swap: bool = False) -> Stage:
    """A rebuild told to nobody and stopped by nobody; when rows differ, `may_swap` is the answer."""
    return Stage(lambda text: None, lambda *_: None, lambda: False, lambda *_: may_swap, processes)
