"""What was tried in vain, as the compacted topic `weft.effects` says it; and what a person asks there to be tried again. Pure.

    state/CONTEXT/PARTITION     by who has the partition: how many intents are parked, and the first MOST that were tried in vain
    again/CONTEXT/INTENT        by a person: try this one again, * for all of the context, as if it had been opened then

Anybody may write there who may write anywhere, so whatever does not fit is passed over.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from infra.wire.record import Outgoing, Record

STATE, AGAIN = "state", "again"
ALL = "*"
MOST = 50
LATEST_MS = 1 << 60
# Providers forget idempotency keys after a day, and who was to be told, or charged, has gone on without it: what is older is
# not done by a program that cannot know what has become of it.
MAX_AGE_S = 24 * 3600.0


def state_record(context: str, partition: int, parked: int, tried: Sequence[Mapping[str, Any]]) -> Outgoing:
    """Of one partition; each of `tried` has the key of its intent, its target, tries and what was said."""
    content = {"context": context, "partition": partition, "parked": parked, "tried": list(tried[:MOST])}
    return Outgoing(f"{STATE}/{context}/{partition}".encode(), json.dumps(content).encode(), [])


def again_record(context: str, key: str, at_ms: int) -> Outgoing:
    return Outgoing(f"{AGAIN}/{context}/{key}".encode(), json.dumps({"at": at_ms}).encode(), [])


def states(records: Iterable[Record]) -> list[dict[str, Any]]:
    """What is said last of each partition, where there is something to say."""
    return [content for _, content in sorted(_last(records, STATE).items()) if _is_state(content) and _says(content)]


def asked_again(records: Iterable[Record], context: str) -> dict[str, int]:
    """When (ms) each intent of a context was last asked to be tried again, by its key; "" is all of them."""
    prefix = f"{AGAIN}/{context}/"
    asked = {}
    for name, content in _last(records, AGAIN).items():
        at = content.get("at")
        if name.startswith(prefix) and isinstance(at, int) and 0 <= at <= LATEST_MS:
            key = name.removeprefix(prefix)
            asked["" if key == ALL else key] = at
    return asked


def is_parked(key: str, opened_ms: int, asked: Mapping[str, int], now_s: float) -> bool:
    """Whether an intent is too old to be tried by itself, also since somebody has asked for it to be tried again."""
    since_ms = max(opened_ms, min(max(asked.get(key, 0), asked.get("", 0)), int(now_s * 1000)))
    return now_s - since_ms / 1000 > MAX_AGE_S


def _last(records: Iterable[Record], kind: str) -> dict[str, dict[str, Any]]:
    """The last that fits under each key of a kind."""
    return {key: content for key, content in map(_read, records) if key.startswith(f"{kind}/") and content is not None}


def _read(record: Record) -> tuple[str, dict[str, Any] | None]:
    try:
        content = json.loads(record.value or b"")
        return (record.key or b"").decode(), content if isinstance(content, dict) else None
    except (ValueError, RecursionError):
        return "", None


def _is_state(content: Mapping[str, Any]) -> bool:
    fits = isinstance(content.get("context"), str) and isinstance(content.get("partition"), int)
    return fits and isinstance(content.get("parked"), int) and all(map(_is_try, _listed(content.get("tried"))))


def _is_try(tried: object) -> bool:
    return isinstance(tried, dict) and isinstance(tried.get("tries"), int) and isinstance(tried.get("key"), str)


def _listed(value: object) -> Iterator[object]:
    yield from value if isinstance(value, list) else [value]


def _says(content: Mapping[str, Any]) -> bool:
    return bool(content["parked"] or content["tried"])
