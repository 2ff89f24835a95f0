"""What is open outside, and what a person does about it: have it tried again, answer it, or give it up.

What is open is the fold of the events topic; how often it was tried in vain, and what was said then, is said by who tried it.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from infra.errors import Refusal, Unreadable, Unusable, nearest
from infra.kafka import reading
from infra.kafka.log import Producer, addressed
from infra.kafka.reading import Place
from infra.kafka.topics import EFFECTS_TOPIC, tried_effects
from infra.mesh import Mesh
from infra.model.context import Context
from infra.settings import Settings, address
from infra.wire.envelope import CAUSATION, TYPE, accepted
from infra.wire.inbox import payload_from_json
from infra.wire.record import Outgoing, Read, text, when
from infra.wire.sealing import is_sealed, personal, unsealed
from infra.write.aggregates import Aggregates, Unwritten
from infra.write.effects import Misdirected, outcome_of
from infra.write.intents import PENDING, Intent, slot_of, subject_of
from infra.write.tries import ALL, again_record, asked_again, is_parked, states

BY_HAND = "by-hand"
MAX_SHOWN = 200  # characters of a field


@dataclass(frozen=True)
class Open:
    """Something wanted of the outside. `state` is open, tried (in vain, so far) or parked (nobody tries it any more)."""

    context: str
    key: str
    target: str
    subject: str
    wanted: str
    state: str
    since: str
    age_s: int
    tries: int
    said: str
    intent: Intent

    def shown(self) -> dict[str, Any]:
        """Everything but the intent."""
        return {name: value for name, value in vars(self).items() if name != "intent"}

    def content(self) -> dict[str, str]:
        """What exactly is wanted, by field; what names a person stays sealed."""
        wanted = self.intent.wanted
        return {f.name: _readable(getattr(wanted, f.name)) for f in fields(wanted)}


def _readable(value: Any) -> str:
    if isinstance(value, str):
        return "(sealed)" if is_sealed(value) else _harmless(value)
    return repr(value)[:MAX_SHOWN]


def _harmless(text: str) -> str:
    """A text that somebody else wrote, fit for a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:MAX_SHOWN])


class Outside:
    """What is open outside of one context, read from Kafka."""

    def __init__(self, settings: Settings, mesh: Mesh, context: Context) -> None:
        self._settings = settings
        self._mesh = mesh
        self.context = context
        self._ends: dict[Place, int] = {}

    def open(self) -> list[Open]:
        """All of it, oldest first; the whole events topic is read."""
        tried = tried_effects(self._settings) or []
        intents = self._intents()
        return shown(self.context, intents, tried, time.time())

    def _intents(self) -> list[Intent]:
        with reading.opened(self._settings) as client:
            places = reading.partitions_of(client, [self.context.events_topic])
            if not places:
                raise Unusable(
                    f"the topic {self.context.events_topic} does not exist; create the mesh's topics with `weft setup`"
                )
            self._ends = reading.ends(client, places)
            parts = {n: Aggregates(self.context, self._mesh.codec, n, len(places), 0) for _, n in places}
            for batch in reading.read_all(client, {}, self._ends):
                for (_, number), records in reading.by_place(batch).items():
                    part = parts[number]
                    part.fold(records)
                    part.decided.clear()  # and what else only who decides has to know
                    part.unwritten = Unwritten()
                    part.new_intents()
        return [i for part in parts.values() for i in part.intents.values() if i.place.endswith(PENDING)]

    def find(self, key: str) -> Open:
        found = {wish.key: wish for wish in self.open()}
        if key not in found:
            raise Unusable(
                f"nothing of {key!r} is open outside of {self.context.name}; `weft effects list {self.context.name}` names what is"
            )
        return found[key]

    def retry(self, keys: Sequence[str]) -> None:
        """Have these tried again, or all if there are none: as if they were opened now, and at once."""
        now = int(time.time() * 1000)
        self._post(EFFECTS_TOPIC, [(0, again_record(self.context.name, key, now)) for key in keys or [ALL]])

    def answer(self, wish: Open, outcome: Any, patience_s: float) -> str | None:
        """Post an outcome; what became of it, None if that takes too long."""
        try:
            record = outcome_of(self.context, self._mesh.codec, wish.intent, outcome, BY_HAND)
        except Misdirected as error:
            raise Refusal("no_outcome", f"{error}: {wish.subject!r} wanted it") from error
        except (ValueError, TypeError, OverflowError) as error:
            raise Refusal("no_outcome", f"it cannot be written: {error}") from error
        self._post(self.context.own_topic, addressed([record], self.context.partition_count(self._settings)))
        return self._became(f"{wish.key}/{BY_HAND}", patience_s)

    def _post(self, topic: str, records: Iterable[tuple[int, Outgoing]]) -> None:
        async def post() -> None:
            producer = Producer(address(self._settings, "kafka"), "weft-effects")
            try:
                await producer.send(topic, records)
            finally:
                await producer.stop()

        asyncio.run(post())

    def _became(self, command_id: str, patience_s: float) -> str | None:
        deadline = time.monotonic() + patience_s
        with reading.opened(self._settings) as client:
            reading.assign(client, self._ends)
            while time.monotonic() < deadline:
                for record in reading.poll(client, 1000, 0.2)[0]:
                    headers = dict(record.headers)
                    if accepted(headers, record.offset) and headers.get(CAUSATION) == command_id.encode():
                        return text(headers.get(TYPE)) or "?"
        return None


def shown(context: Context, intents: Iterable[Intent], tried: Sequence[Read], now_s: float) -> list[Open]:
    """Intents with what is said of them; oldest first."""
    asked = asked_again(tried, context.name)
    said = {t["key"]: t for state in states(tried) if state["context"] == context.name for t in state["tried"]}
    found = []
    for intent in sorted(intents, key=lambda i: (i.at, i.key)):
        tries = said.get(intent.key, {})
        parked = is_parked(intent.key, intent.at, asked, now_s)
        found.append(
            Open(
                context.name,
                intent.key,
                context.target(intent.wanted),
                _subject(intent),
                type(intent.wanted).__name__,
                "parked" if parked else "tried" if tries else "open",
                f"{when(intent.at):%Y-%m-%d %H:%M:%S}",
                max(0, int(now_s - intent.at / 1000)),
                int(tries.get("tries", 0)),
                _harmless(str(tries.get("said", ""))),
                intent,
            )
        )
    return found


def _subject(intent: Intent) -> str:
    """The id of the aggregate that wants it: kinds but the first have their name in front."""
    return slot_of(intent.place).rpartition(b"\0")[2].decode(errors="replace")


def outcome_in(mesh: Mesh, context: Context, wish: Open, type_name: str, payload: str) -> Any:
    """An outcome from JSON; Unreadable says what is wrong with it."""
    kinds: Mapping[str, type] = {mesh.type_name(t): t for t in context.own}
    if type_name not in kinds:
        raise Unreadable("unknown_type", f"{context.name} asks itself no {type_name!r}; {nearest(type_name, kinds)}")
    outcome = payload_from_json(kinds[type_name], payload.encode(), wish.subject)
    if subject_of(outcome) != wish.subject:
        raise Unreadable("key_mismatch", f"it is for {subject_of(outcome)!r}, and {wish.subject!r} wanted it")
    spec = personal(mesh.codec.schemas[type_name])
    if spec and (plain := unsealed(spec, outcome)):
        raise Unreadable("not_sealed", f"{', '.join(plain)}: has to be sealed, since it names a person")
    return outcome


def given_up(context: Context, wish: Open, reason: str) -> Any:
    """What a context says of something that nobody tries any more; Unusable if it has no word for that."""
    if context.give_up is None:
        raise Unusable(
            f"{context.name} does not say what it is to give something up: `weft effects answer` posts what you say"
        )
    return context.give_up(wish.intent.wanted, reason)
