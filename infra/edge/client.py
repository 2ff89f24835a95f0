"""The producer's side: post commands, and learn what became of them."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any
from uuid import uuid4

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from infra.edge import vault
from infra.errors import Unreadable, Unusable, nearest
from infra.mesh import Mesh
from infra.model.needs import VaultNeeds, needed
from infra.read.postgres import Connection
from infra.settings import Settings, address
from infra.wire.avro import Codec
from infra.wire.digest import digest_of
from infra.wire.envelope import command_headers
from infra.wire.inbox import payload_from_json
from infra.wire.limits import MAX_COMMAND_BYTES, MAX_POSTED_BYTES
from infra.wire.record import Header, partition_of
from infra.wire.sealing import Personal, personal, seal_payload, unsealed

DELIVERY_TIMEOUT = 15.0
KEPT = ("rejected", "parked")  # what may get another answer later


@dataclass(frozen=True)
class Wish:
    """A command as a person types it: JSON, and what names a person in plain."""

    type_name: str
    key: str | None
    payload: dict[str, Any]
    id: str | None = None
    where: str = ""  # where it stands, for errors


@dataclass(frozen=True)
class Asked:
    """A command ready to be posted."""

    topic: str
    key: str
    value: bytes
    headers: list[Header]
    id: str
    digest: str = ""


@dataclass(frozen=True)
class Posted:
    """A command that is in its topic; `digest` is of what it says, in hex."""

    id: str
    digest: str
    topic: str
    key: str
    partition: int
    offset: int


async def sealed(settings: Settings, mesh: Mesh, wishes: Sequence[Wish]) -> list[Wish]:
    """The same wishes with what names a person sealed by the vault; Erased if that person was."""
    if not any(_personal(mesh.codec, wish) for wish in wishes):
        return list(wishes)
    async with vault.opened(needed(settings, VaultNeeds)) as keys:
        return await seal_with(keys, mesh.codec, wishes)


async def seal_with(keys: vault.Vault, codec: Codec, wishes: Sequence[Wish]) -> list[Wish]:
    """The same with a vault that is open already."""
    subjects = []
    for wish in wishes:
        spec = _personal(codec, wish)
        subject = (wish.payload.get(spec.subject) or wish.key) if spec else None
        subjects.append((wish, spec, subject if isinstance(subject, str) else None))
    by_subject = await keys.keys(subject for _, spec, subject in subjects if spec and subject)
    return [
        replace(
            wish, payload=seal_payload(spec, subject, wish.payload, by_subject[subject], keys.digest_secret, wish.id)
        )
        if spec and subject
        else wish
        for wish, spec, subject in subjects
    ]


def _personal(codec: Codec, wish: Wish) -> Personal | None:
    schema = codec.schemas.get(wish.type_name)
    return personal(schema) if schema is not None else None


def ask(mesh: Mesh, type_name: str, key: str | None, payload: str, command_id: str | None = None) -> Asked:
    """A command from JSON; Unreadable says what is wrong with it, before anything is sent."""
    kinds = {mesh.type_name(t): t for c in mesh.contexts.values() for t in c.commands}
    if type_name not in kinds:
        raise Unreadable("unknown_type", f"there is no command {type_name!r}; {nearest(type_name, kinds)}")
    kind = kinds[type_name]
    context = mesh.owner(kind)
    if kind not in context.asked:
        asked = ", ".join(map(mesh.type_name, context.asked)) or "nothing"
        raise Unreadable("not_yours", f"{type_name} is what {context.name} asks itself; it can be asked {asked}")
    message = payload_from_json(kind, payload.encode(), key)
    subject: str = getattr(message, fields(kind)[0].name)
    if key is not None and subject != key:
        raise Unreadable("key_mismatch", f"the key is {key!r} but {fields(kind)[0].name} is {subject!r}")
    try:
        value = mesh.codec.encode(message)
    except (ValueError, TypeError, OverflowError) as error:
        raise Unreadable("wrong_fields", f"a value is out of range: {error}") from error
    spec = personal(mesh.codec.schemas[type_name])
    if spec and (plain := unsealed(spec, message)):
        raise Unreadable("not_sealed", f"{', '.join(plain)}: has to be sealed, since it names a person")
    if len(value) > MAX_COMMAND_BYTES:
        raise Unreadable("too_large", f"the command has {len(value)} bytes, the limit is {MAX_COMMAND_BYTES}")
    identity = command_id or str(uuid4())
    digest = digest_of(type_name.encode(), message).hex()
    headers = command_headers(type_name, identity)
    return Asked(context.commands_topic, subject, value, headers, identity, digest)


class Poster:
    """A producer of commands; every record's fate is known when `flush` returns. `patience`: seconds a record may take."""

    def __init__(self, settings: Settings, mesh: Mesh, patience: float = DELIVERY_TIMEOUT) -> None:
        self._patience = patience
        self._servers = address(settings, "kafka")
        self._partitions = {
            topic: c.partition_count(settings)
            for c in mesh.contexts.values()
            for topic in (c.commands_topic, c.own_topic)
        }
        self._failed: list[str] = []
        self._producer = Producer(
            {
                "bootstrap.servers": self._servers,
                "enable.idempotence": True,
                "message.max.bytes": MAX_POSTED_BYTES,
                "delivery.timeout.ms": int(patience * 1000),
                "linger.ms": 5,
                "partitioner": "murmur2_random",
                "log_level": 0,
            }
        )

    def post(self, command: Asked, then: Callable[[Posted], None] = lambda posted: None) -> None:
        """Hand a command to the producer; `then` is called once it is in its topic."""

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._failed.append(f"{command.id}: {error.str()}")
            else:
                then(
                    Posted(
                        command.id,
                        command.digest,
                        command.topic,
                        command.key,
                        message.partition() or 0,
                        message.offset() or 0,
                    )
                )

        key = command.key.encode()
        while True:
            try:
                self._producer.produce(
                    command.topic,
                    command.value,
                    key,
                    partition_of(key, self._partitions[command.topic]),
                    headers=list(command.headers),
                    on_delivery=delivered,
                )
                break
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise Unusable(f"cannot post to {command.topic}: {error.args[0].str()}") from error
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until every command is in its topic; Unusable names those that are not."""
        left = self._producer.flush(self._patience + 5)
        if left or self._failed:
            named = "; ".join(self._failed[:5])
            raise Unusable(
                f"{max(left, len(self._failed))} commands did not reach Kafka at {self._servers}: {named}. Sending them again under the same ids is safe"
            )


def asked(mesh: Mesh, wish: Wish) -> Asked:
    """A sealed wish, ready to be posted; Unreadable says what is wrong with it, and where it stands."""
    try:
        return ask(mesh, wish.type_name, wish.key, json.dumps(wish.payload), wish.id)
    except Unreadable as error:
        raise Unreadable(error.code, wish.where + error.reason) from error


def post_all(settings: Settings, mesh: Mesh, commands: Iterable[Asked]) -> list[Posted]:
    """Post all of them; returns once they are in their topics, and Unusable names those that are not."""
    posted: list[Posted] = []
    poster = Poster(settings, mesh)
    for command in commands:
        poster.post(command, posted.append)
    poster.flush()
    return posted


def read_lines(lines: Iterable[str]) -> Iterator[Wish]:
    """Commands from JSON lines `{"type", "key", "payload", "id"}`; key and id may be left out. Unreadable names the line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if (
                not isinstance(entry, dict)
                or not isinstance(entry.get("type"), str)
                or not isinstance(entry.get("payload"), dict)
            ):
                raise Unreadable(
                    "bad_line", 'a line is {"type": "<context>.<Command>", "key": "...", "payload": {...}, "id": "..."}'
                )
            yield Wish(entry["type"], entry.get("key"), entry["payload"], entry.get("id"), f"line {number}: ")
        except ValueError as error:
            raise Unreadable("not_json", f"line {number}: {error}") from error
        except Unreadable as error:
            raise Unreadable(error.code, f"line {number}: {error.reason}") from error


RECEIPTS = "SELECT * FROM analytics.receipts WHERE command_id = ANY($1::text[])"


async def receipts(db: Connection, ids: list[str]) -> list[dict[str, Any]]:
    """The receipts there are for these command ids."""
    return [dict(row) for row in await db.fetch(RECEIPTS, ids)]


async def wait_for_receipts(db: Connection, posted: list[Posted], timeout: float) -> dict[str, dict[str, Any]]:
    """The receipt of each command by id, as far as they come within `timeout` seconds.

    A receipt for another record of the same id that said the same says that this one was a duplicate. Rows that other code
    made know nothing of ways and digests, until they are rebuilt.
    """
    waiting = {(p.topic.rpartition(".")[0], p.key, p.id): p for p in posted}
    answers: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + timeout
    pause = 0.01
    while waiting:
        for row in await receipts(db, [p.id for p in waiting.values()]):
            p = waiting.get((row["context"], row["subject"], row["command_id"]))
            if (
                p is None
                or row.get("way", "commands") != "commands"
                or (row["status"] in KEPT and row["command_offset"] < p.offset)
            ):
                continue  # the answer to an earlier, mended record
            row["duplicate"] = (row["command_partition"], row["command_offset"]) != (p.partition, p.offset)
            if row["duplicate"] and row.get("command_digest", "") not in ("", p.digest):
                continue  # the answer to another command, whose id was taken: this one gets its own
            del waiting[row["context"], row["subject"], row["command_id"]]
            answers[p.id] = row
        if not waiting or time.monotonic() > deadline:
            break
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.25)
    return answers


async def wait_for_projections(db: Connection, tokens: Iterable[str], timeout: float) -> list[str]:
    """Wait until every projection has read these events (`topic/partition/offset`); returns those that have not in time."""
    deadline = time.monotonic() + timeout
    latest: dict[str, int] = {}
    for token in tokens:
        place, _, offset = token.rpartition("/")
        latest[place] = max(int(offset), latest.get(place, 0))
    for place, last in latest.items():
        left = max(0.0, deadline - time.monotonic())
        token = f"{place}/{last}"
        if not await db.fetchval("SELECT analytics.wait_for($1, NULL, make_interval(secs => $2))", token, left):
            return [row["name"] for row in await db.fetch("SELECT analytics.unread_by($1) AS name", token)]
    return []
