"""What has to hold of the shop when it is at rest, checked on the real log, ledger, mailbox and tables.

This and the demo are the only places in infra/ that know the shop's events; the checks are pure, so that tests can break
each law and see it caught.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from infra.messages import REUSED_CODE, Discarded, Meta, Parked, Refused, Rejected
from infra.wire.avro import Codec
from infra.wire.envelope import accepted, meta
from infra.wire.record import Read
from schemas.notifications import (
    ChannelChosen,
    ContactForgotten,
    ContactRecorded,
    NotificationFailed,
    NotificationRequested,
    NotificationSent,
    TellingSkipped,
)
from schemas.orders import OrderCancelled, OrderConfirmed, OrderDelivered, OrderPlaced, OrderShipped
from schemas.payments import CaptureFailed, PaymentAuthorised, PaymentCaptured, PaymentRefunded, PaymentVoided
from schemas.products import (
    PriceChanged,
    ProductDelisted,
    ProductListed,
    StockAdjusted,
    StockOffered,
    StockReleased,
    StockReserved,
    StockShipped,
    StockWithdrawn,
)
from schemas.users import (
    ContactChannelsChanged,
    EmailConfirmed,
    EmailReleased,
    EmailReserved,
    KeyDestroyed,
    RegistrationRefused,
    RegistrationRequested,
    UserErased,
    UserRegistered,
)


@dataclass
class Evidence:
    """A log (accepted events with their meta, in order per partition) and what the outside says."""

    facts: list[tuple[Any, Meta]]
    voids: int = 0
    ledger: list[dict[str, Any]] = field(default_factory=list)
    message_ids: list[str] = field(default_factory=list)

    def of(self, *types: type) -> list[Any]:
        """The events of these types."""
        return [event for event, _ in self.facts if isinstance(event, types)]


def evidence(codec: Codec, records: Iterable[Read]) -> Evidence:
    """Fold the rule over records of events topics."""
    e = Evidence([])
    for record in records:
        headers = dict(record.headers)
        if accepted(headers, record.offset):
            e.facts.append((codec.decode(record.value or b""), meta(record, headers)))
        else:
            e.voids += 1
    return e


def broken(e: Evidence) -> list[str]:
    """Every violation of every law, as sentences; empty when all is well."""
    return [
        *_each_command_once(e),
        *each_order_ends_once(e),
        *_stock_adds_up(e),
        *_money_agrees(e),
        *_ledger_agrees(e),
        *_customers_told_once(e),
        *_an_address_has_one_owner(e),
        *_every_registration_ends(e),
        *_contacts_follow_the_users(e),
        *_what_is_listed_is_offered(e),
        *_the_erased_are_forgotten(e),
    ]


def _ways_of(event: Any, m: Meta) -> tuple[str, ...]:
    """By which a command may have come; of one before there were two, nobody can say which of both it is."""
    is_older = m.way == "commands" and not m.command_digest and not isinstance(event, Discarded)
    return ("commands", "own") if is_older else (m.way,)


def _each_command_once(e: Evidence) -> Iterable[str]:
    """The events of a command stand together in the log, and none says the same as another."""
    answers: dict[tuple[str, str, str, str], list[tuple[Any, Meta]]] = {}
    for event, m in e.facts:
        took_an_id = isinstance(event, Refused) and event.code == REUSED_CODE
        if not isinstance(event, Rejected | Parked) and not took_an_id:
            for way in _ways_of(event, m):
                answers.setdefault((m.context, m.subject, way, m.command_id), []).append((event, m))
    for command, facts in answers.items():
        metas = [m for _, m in facts]
        together = all(b.offset - a.offset == 1 for a, b in pairwise(metas)) and len({m.partition for m in metas}) == 1
        if len({event for event, _ in facts}) < len(facts) or not together:
            yield f"command {command} was applied more than once: {[m.id for m in metas]}"
        if len(metas) > 1 and any(m.type == "weft.Refused" for m in metas):
            yield f"command {command} was both accepted and refused"


def each_order_ends_once(e: Evidence) -> Iterable[str]:
    """Placed once; then confirmed or cancelled, or confirmed and later cancelled; what was sent is not cancelled."""
    placed, confirmed, cancelled, shipped, delivered = (
        Counter(event.order_id for event in e.of(kind))
        for kind in (OrderPlaced, OrderConfirmed, OrderCancelled, OrderShipped, OrderDelivered)
    )
    for order in placed.keys() | confirmed.keys() | cancelled.keys() | shipped.keys():
        counts = (placed[order], confirmed[order], cancelled[order], shipped[order], delivered[order])
        if placed[order] != 1 or max(counts) > 1:
            yield f"order {order}: placed, confirmed, cancelled, shipped, delivered {counts} times"
        if not confirmed[order] and not cancelled[order]:
            yield f"order {order} has no outcome"
        if cancelled[order] and shipped[order]:
            yield f"order {order} was both cancelled and shipped"


def _stock_adds_up(e: Evidence) -> Iterable[str]:
    """Never below zero, at no prefix of the log; what is held is held for an order that will be sent."""
    adjusted: Counter[str] = Counter()
    on_hand: Counter[str] = Counter()
    held: dict[str, Counter[str]] = {}
    sent: Counter[str] = Counter()
    for event in e.of(StockAdjusted, StockReserved, StockReleased, StockShipped):
        sku, orders = event.sku, held.setdefault(event.sku, Counter())
        match event:
            case StockAdjusted():
                adjusted[sku] += event.delta
                on_hand[sku] += event.delta
            case StockReserved():
                on_hand[sku] -= event.quantity
                orders[event.order_id] += event.quantity
            case StockReleased():
                on_hand[sku] += event.quantity
                orders[event.order_id] -= event.quantity
            case StockShipped():
                orders[event.order_id] -= event.quantity
                sent[sku] += event.quantity
        if on_hand[sku] < 0 or min(orders.values(), default=0) < 0:
            yield f"stock of {sku} is below zero after {event}"
    lines = {event.order_id: {line.sku: line.quantity for line in event.lines} for event in e.of(OrderPlaced)}
    shipped = {event.order_id for event in e.of(OrderShipped)}
    waiting = (
        {event.order_id for event in e.of(OrderConfirmed)}
        - {event.order_id for event in e.of(OrderCancelled)}
        - shipped
    )
    for sku, orders in held.items():
        if adjusted[sku] != on_hand[sku] + orders.total() + sent[sku]:
            yield f"stock of {sku}: {adjusted[sku]} came in, {on_hand[sku]} on hand, {orders.total()} held, {sent[sku]} sent"
        due = {order: lines[order].get(sku, 0) for order in waiting & lines.keys()}
        for order in orders.keys() | due.keys():
            if orders[order] != due.get(order, 0):
                yield f"order {order}: {orders[order]} of {sku} held, {due.get(order, 0)} due"
    left = Counter({(event.order_id, event.sku): event.quantity for event in e.of(StockShipped)})
    for order in shipped:
        for sku, quantity in lines.get(order, {}).items():
            if left[order, sku] != quantity:
                yield f"order {order}: {left[order, sku]} of {sku} left the stock, {quantity} were ordered"


def _money_agrees(e: Evidence) -> Iterable[str]:
    """What was taken belongs to an order that is sent or will be; the rest was let go, or given back."""
    totals = {event.order_id: event.total_minor for event in e.of(OrderPlaced)}
    cancelled = {event.order_id for event in e.of(OrderCancelled)}
    captured, refunded = _sums(e.of(PaymentCaptured)), _sums(e.of(PaymentRefunded))
    for order, times in Counter(event.order_id for event in e.of(PaymentCaptured)).items():
        if times > 1:
            yield f"order {order} was captured {times} times in the log"
    for refund, times in Counter((event.order_id, event.refund_id) for event in e.of(PaymentRefunded)).items():
        if times > 1:
            yield f"refund {refund} was made {times} times in the log"
    for order, total in totals.items():
        if order in cancelled and captured[order] != refunded[order]:
            yield f"order {order} is cancelled: {captured[order]} captured, {refunded[order]} refunded in the log"
        if order not in cancelled and captured[order] != total:
            yield f"order {order}: {total} due, {captured[order]} captured in the log"
        if refunded[order] > captured[order]:
            yield f"order {order}: {captured[order]} captured, {refunded[order]} refunded in the log"
    holds = {event.order_id for event in e.of(PaymentAuthorised)}
    let_go = {event.order_id for event in e.of(PaymentVoided, PaymentCaptured, CaptureFailed)}
    for order in holds - let_go:
        yield f"order {order}: money is still held in the log"


def _sums(events: Iterable[Any]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for event in events:
        sums[event.order_id] += event.amount_minor
    return sums


def _ledger_agrees(e: Evidence) -> Iterable[str]:
    """The gateway did each thing once, holds nothing, and took and gave back what the log says."""
    steps: dict[str, Counter[str]] = {}
    amounts: dict[str, Counter[str]] = {"capture": Counter(), "refund": Counter()}
    for entry in e.ledger:
        order, step = entry["reference"], entry["step"]
        counted = steps.setdefault(order, Counter())
        if entry["outcome"] == "ok":
            counted[step] += 1
            if step in amounts:
                amounts[step][order] += entry["amount_minor"]
        elif step == "capture":
            counted["lost"] += 1
    for order, counted in steps.items():
        if max(counted["authorise"], counted["capture"], counted["void"]) > 1:
            yield f"order {order}: the gateway's ledger has {dict(counted)}"
        if counted["authorise"] != counted["capture"] + counted["void"] + counted["lost"]:
            yield f"order {order}: the gateway still holds money: {dict(counted)}"
    for step, kind in (("capture", PaymentCaptured), ("refund", PaymentRefunded)):
        in_log = _sums(e.of(kind))
        for order in in_log.keys() | amounts[step].keys():
            if in_log[order] != amounts[step][order]:
                yield f"order {order}: {step} of {in_log[order]} in the log, {amounts[step][order]} in the gateway's ledger"


def _customers_told_once(e: Evidence) -> Iterable[str]:
    """One message an occasion, unless nobody knows the customer; and what was recorded as sent has arrived."""
    due: dict[str, str] = {}
    for occasion, kind in (
        ("confirmed", OrderConfirmed),
        ("cancelled", OrderCancelled),
        ("shipped", OrderShipped),
        ("delivered", OrderDelivered),
    ):
        due |= {f"{event.order_id}/{occasion}": event.customer_id for event in e.of(kind)}
    due |= {f"{event.order_id}/refunded/{event.refund_id}": event.customer_id for event in e.of(PaymentRefunded)}
    met = {event.customer_id for event in e.of(ContactRecorded, ContactForgotten)}
    chosen, skipped, asked, answered = (
        Counter(event.notification_id for event in e.of(*kinds))
        for kinds in (
            (ChannelChosen,),
            (TellingSkipped,),
            (NotificationRequested,),
            (NotificationSent, NotificationFailed),
        )
    )
    for notification in due.keys() | chosen.keys() | skipped.keys() | asked.keys() | answered.keys():
        wanted = 1 if due.get(notification) in met else 0
        if (chosen[notification] + skipped[notification], asked[notification], answered[notification]) != (
            wanted or skipped[notification],
            chosen[notification],
            chosen[notification],
        ):
            yield f"message {notification}: {chosen[notification]} chosen, {skipped[notification]} skipped, {asked[notification]} asked, {answered[notification]} answered"
    sent = {event.message_id for event in e.of(NotificationSent)}
    arrived = set(e.message_ids)
    for message in sent - arrived:
        yield f"message {message} was recorded as sent but never arrived"
    for message in arrived - sent:
        yield f"message {message} arrived but was never recorded as sent"


def _an_address_has_one_owner(e: Evidence) -> Iterable[str]:
    """At every prefix of the log an e-mail address is reserved for at most one user."""
    owner: dict[str, str] = {}
    for event in e.of(EmailReserved, EmailConfirmed, EmailReleased):
        holder = owner.get(event.email_key)
        if holder is not None and holder != event.user_id:
            yield f"the address {event.email_key} of {holder} was given to {event.user_id}"
        if isinstance(event, EmailReleased):
            owner.pop(event.email_key, None)
        else:
            owner[event.email_key] = event.user_id


def _every_registration_ends(e: Evidence) -> Iterable[str]:
    ended = {event.user_id for event in e.of(UserRegistered, RegistrationRefused, UserErased)}
    for event in e.of(RegistrationRequested):
        if event.user_id not in ended:
            yield f"user {event.user_id} is neither registered nor refused"


def _contacts_follow_the_users(e: Evidence) -> Iterable[str]:
    """Customers are told the way they said last."""
    users = {event.user_id: _ways(event) for event in e.of(UserRegistered, ContactChannelsChanged)}
    contacts = {event.customer_id: _ways(event) for event in e.of(ContactRecorded)}
    forgotten = {event.customer_id for event in e.of(ContactForgotten)}
    for user, ways in users.items():
        if user not in forgotten and contacts.get(user) != ways:
            yield f"user {user} is to be told by {ways}, and known by {contacts.get(user)}"


def _ways(event: UserRegistered | ContactChannelsChanged | ContactRecorded) -> list[tuple[str, str, bool]]:
    return [(channel.kind, channel.address, channel.enabled) for channel in event.channels]


def _what_is_listed_is_offered(e: Evidence) -> Iterable[str]:
    """Stock is for sale at the price its product is listed at, and not at all when that is delisted."""
    listed: dict[str, int | None] = {}
    offered: dict[str, int | None] = {}
    for event in e.of(ProductListed, PriceChanged, ProductDelisted):
        listed[event.sku] = None if isinstance(event, ProductDelisted) else event.unit_price_minor
    for event in e.of(StockOffered, StockWithdrawn):
        offered[event.sku] = None if isinstance(event, StockWithdrawn) else event.unit_price_minor
    for sku in listed.keys() | offered.keys():
        if listed.get(sku) != offered.get(sku):
            yield f"{sku} is listed at {listed.get(sku)} and offered at {offered.get(sku)}"


def _the_erased_are_forgotten(e: Evidence) -> Iterable[str]:
    """Whoever is erased is told nothing more, and their address is free for others."""
    forgotten = {event.customer_id for event in e.of(ContactForgotten)}
    unreadable = {event.user_id for event in e.of(KeyDestroyed)}
    keeps = {}
    for event in e.of(EmailReserved, EmailConfirmed, EmailReleased):
        keeps[event.email_key] = None if isinstance(event, EmailReleased) else event.user_id
    for event in e.of(UserErased):
        if event.user_id not in forgotten:
            yield f"user {event.user_id} is erased and still to be told"
        if event.user_id not in unreadable:
            yield f"user {event.user_id} is erased, and what names them can still be read"
        if keeps.get(event.email_key) == event.user_id:
            yield f"user {event.user_id} is erased and keeps an e-mail address"
