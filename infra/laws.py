"""What has to hold of the shop when it is at rest, checked on the real log, ledger, mailbox and tables.

This and the demo are the only places in infra/ that know the shop's events; the checks are pure, so that tests can break
each law and see it caught.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from infra import mesh
from infra.avro import Codec
from infra.projection import Projection
from infra.projector import Fold, storable
from infra.reading import meta
from infra.record import Read, accepted
from schemas import Meta, Rejected
from schemas.notifications import (
    NotificationFailed,
    NotificationRequested,
    NotificationSent,
)
from schemas.orders import OrderCancelled, OrderConfirmed, OrderPlaced
from schemas.payments import (
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
)


@dataclass
class Evidence:
    """A log (accepted events with their meta, in order per partition) and what the outside says."""

    facts: list[tuple[Any, Meta]]
    voids: int = 0
    ledger: list[dict[str, Any]] = field(default_factory=list)
    message_ids: list[str] = field(default_factory=list)


def evidence(codec: Codec, records: Iterable[Read]) -> Evidence:
    """Fold the rule over records of events topics."""
    found = Evidence([])
    for record in records:
        headers = dict(record.headers)
        if accepted(headers, record.offset):
            found.facts.append((codec.decode(record.value or b""), meta(record, headers)))
        else:
            found.voids += 1
    return found


def broken(e: Evidence) -> list[str]:
    """Every violation of every law, as sentences; empty when all is well."""
    return [*_each_command_once(e), *_each_order_ends_once(e), *_money_agrees(e), *_customers_told_once(e)]


def _each_command_once(e: Evidence) -> Iterable[str]:
    """The events of a command stand together in the log, and each type comes once."""
    answers: dict[tuple[str, str, str], list[Meta]] = {}
    for event, m in e.facts:
        if not isinstance(event, Rejected):
            answers.setdefault((m.context, m.subject, m.command_id), []).append(m)
    for command, metas in answers.items():
        types = {m.type for m in metas}
        together = all(b.offset - a.offset == 1 for a, b in pairwise(metas)) and len({m.partition for m in metas}) == 1
        if len(types) < len(metas) or not together:
            yield f"command {command} was applied more than once: {[m.id for m in metas]}"
        if "weft.Refused" in types and len(types) > 1:
            yield f"command {command} was both accepted and refused"


def _each_order_ends_once(e: Evidence) -> Iterable[str]:
    placed = Counter(event.order_id for event, _ in e.facts if isinstance(event, OrderPlaced))
    ended = Counter(event.order_id for event, _ in e.facts if isinstance(event, OrderConfirmed | OrderCancelled))
    for order, times in placed.items():
        if times != 1:
            yield f"order {order} was placed {times} times"
        if ended[order] != 1:
            yield f"order {order} has {ended[order]} outcomes"
    for order in ended.keys() - placed.keys():
        yield f"order {order} ended but was never placed"


def _money_agrees(e: Evidence) -> Iterable[str]:
    totals = {
        event.order_id: (event.total_minor, event.currency) for event, _ in e.facts if isinstance(event, OrderPlaced)
    }
    confirmed = {event.order_id for event, _ in e.facts if isinstance(event, OrderConfirmed)}
    captured = [event for event, _ in e.facts if isinstance(event, PaymentCaptured)]
    in_log = Counter({event.order_id: event.amount_minor for event in captured})
    for order, times in Counter(event.order_id for event in captured).items():
        if times > 1:
            yield f"order {order} was captured {times} times in the log"
    for order, (total, _) in totals.items():
        due = total if order in confirmed else 0
        if in_log[order] != due:
            yield f"order {order}: {due} due, {in_log[order]} captured in the log"
    held = {event.order_id for event, _ in e.facts if isinstance(event, PaymentAuthorised)}
    let_go = {
        event.order_id for event, _ in e.facts if isinstance(event, PaymentVoided | PaymentCaptured | PaymentDeclined)
    }
    for order in held - let_go:
        yield f"order {order}: money is still held in the log"
    yield from _ledger_agrees(e.ledger, in_log)


def _ledger_agrees(ledger: Sequence[Mapping[str, Any]], in_log: Counter[str]) -> Iterable[str]:
    steps: dict[str, Counter[str]] = {}
    taken: Counter[str] = Counter()
    for entry in ledger:
        if entry["outcome"] == "ok":
            steps.setdefault(entry["reference"], Counter())[entry["step"]] += 1
            if entry["step"] == "capture":
                taken[entry["reference"]] += entry["amount_minor"]
    for order, counted in steps.items():
        if max(counted.values()) > 1:
            yield f"order {order}: the gateway's ledger has {dict(counted)}"
        if counted["authorise"] != counted["capture"] + counted["void"]:
            yield f"order {order}: the gateway still holds money: {dict(counted)}"
    for order in in_log.keys() | taken.keys():
        if in_log[order] != taken[order]:
            yield f"order {order}: {in_log[order]} captured in the log, {taken[order]} in the gateway's ledger"


def _customers_told_once(e: Evidence) -> Iterable[str]:
    ended = {event.order_id for event, _ in e.facts if isinstance(event, OrderConfirmed | OrderCancelled)}
    asked = Counter(event.order_id for event, _ in e.facts if isinstance(event, NotificationRequested))
    answered = Counter(
        event.order_id for event, _ in e.facts if isinstance(event, NotificationSent | NotificationFailed)
    )
    for order in ended | asked.keys() | answered.keys():
        if (asked[order], answered[order]) != (1, 1):
            yield f"order {order}: {asked[order]} notifications asked, {answered[order]} answered"
    sent = {event.message_id for event, _ in e.facts if isinstance(event, NotificationSent)}
    arrived = set(e.message_ids)
    for message in sent - arrived:
        yield f"message {message} was recorded as sent but never arrived"
    for message in arrived - sent:
        yield f"message {message} arrived but was never recorded as sent"


def row_differences(projection: Projection, e: Evidence, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Where a projection's table is not the fold of the log."""
    codec = mesh.codec()
    wanted = set(projection.events)
    fold = Fold(projection, codec)
    expected: dict[str, Any] = {}
    fold.apply(
        expected,
        [(projection.row_id(event, m), event, m) for event, m in e.facts if not wanted or type(event) in wanted],
    )
    key = projection.columns[0]
    stored = {
        k: projection.row(**{c: storable(getattr(row, c)) for c in projection.columns})
        for k, row in expected.items()
        if row is not None
    }
    actual = {row[key]: projection.row(**{c: row[c] for c in projection.columns}) for row in rows}
    found = [f"{projection.name}: row {k} is missing" for k in stored.keys() - actual.keys()]
    found += [f"{projection.name}: row {k} should not be there" for k in actual.keys() - stored.keys()]
    found += [
        f"{projection.name}: row {k} is {actual[k]}, the log says {stored[k]}"
        for k in actual.keys() & stored.keys()
        if actual[k] != stored[k]
    ]
    return found
