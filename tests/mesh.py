"""The whole mesh in memory, on the real deciders, policies, codec and partitions, scheduled by a seed.

Topics are lists; what runs next is drawn at random. Owners crash, zombies append on old state, acknowledgements and
replies are lost, records come twice, policies read again, deadlines fire at any moment, snapshots freeze aggregates,
the gateway falls silent. `settle` then lets one clean owner finish everything: first while the gateway is away, then
with it, then the warehouse.
"""

import random
from collections.abc import Sequence
from typing import Any

from commands.notifications import RecordDelivery
from commands.orders import DeliverOrder, ShipOrder
from commands.payments import RecordGatewayOutcome
from commands.users import RecordErasure
from infra.mesh import Mesh
from infra.messages import Due
from infra.shop import laws
from infra.shop.mesh import mesh as shop
from infra.wire.envelope import Cause
from infra.wire.record import Outgoing, Read, partition_of
from infra.write.aggregates import Aggregates
from infra.write.decision import CommandHandler
from infra.write.intents import Intent
from infra.write.reactions import commands_from, outgoing_command
from infra.write.snapshots import freeze
from infra.write.timers import due_command
from schemas.orders import OrderCancelled, OrderConfirmed, OrderShipped
from streams.notifications.decider.message import Deliver
from streams.payments.decider import Authorise, Capture, Refund, Void
from streams.users.decider.user import DestroyKey

PARTITIONS = 2
DAY_MS = 86_400_000


class Worker:
    """One process's view of one partition: it may be the owner, or believe it still is."""

    def __init__(self, context: str, number: int, mesh: Mesh = shop) -> None:
        self.aggregates = Aggregates(mesh.context(context), mesh.codec, number, PARTITIONS, 30 * DAY_MS)
        self.commands = CommandHandler(self.aggregates)
        self.position = 0


class World:
    def __init__(
        self, seed: int, *, mesh: Mesh = shop, remember_ids: bool = True, gateway_remembers: bool = True
    ) -> None:
        self.dice = random.Random(seed)
        self.mesh = mesh
        self.remember_ids = remember_ids
        self.gateway_remembers = gateway_remembers
        self.gateway_up = True
        self.undecided: list[str] = []
        self.codec = mesh.codec
        self.topics: dict[str, list[list[Read]]] = {}
        for c in mesh.contexts.values():
            for topic in (c.commands_topic, c.events_topic, c.dead_topic):
                self.topics[topic] = [[] for _ in range(PARTITIONS)]
        self.now = 1_700_000_000_000
        self.workers = {
            (c, p): [Worker(c, p, mesh), Worker(c, p, mesh)] for c in mesh.contexts for p in range(PARTITIONS)
        }
        self.policies = {
            (c.name, t, p): 0 for c in mesh.contexts.values() for t in mesh.heard_topics(c) for p in range(PARTITIONS)
        }
        self.ledger: list[dict[str, Any]] = []
        self.messages: list[str] = []

    # -- the broker

    def append(self, topic: str, partition: int, records: Sequence[Outgoing]) -> int:
        log = self.topics[topic][partition]
        base = len(log)
        for record in records:
            self.now += 1
            timestamp = record.timestamp if topic.endswith(".events") and record.timestamp else self.now
            log.append(Read(topic, partition, len(log), timestamp, record.key, record.value, tuple(record.headers)))
        return base

    def post(self, command: Any, command_id: str) -> None:
        """A producer's command, on the right partition most of the time."""
        record = outgoing_command(self.codec, command, command_id)
        right = partition_of(record.key or b"", PARTITIONS)
        where = right if self.dice.random() < 0.9 else self.dice.randrange(PARTITIONS)
        self.append(self.mesh.owner(type(command)).commands_topic, where, [record])

    # -- one step of somebody

    def step(self) -> None:
        context, number = self.dice.choice(list(self.workers))
        worker = self.dice.choice(self.workers[context, number])
        what = self.dice.random()
        worker.aggregates.settle(1)
        if self.dice.random() < 0.05:
            self._freeze(worker)
        if what < 0.45:
            self._decide(worker, faulty=True)
        elif what < 0.75:
            self._react(self.dice.choice(list(self.policies)), faulty=True)
        elif what < 0.92:
            self._effect(worker, faulty=True)
        elif what < 0.93:
            self._fire(worker)
        elif what < 0.97:
            self._recover(worker)
        else:
            self._crash(context, number, worker)

    def settle(self) -> None:
        """Everybody recovers and one owner a partition works until nothing is left to do; the warehouse sends what is paid."""
        for context, number in self.workers:
            self.workers[context, number] = [Worker(context, number, self.mesh)]
            self._recover(self.workers[context, number][0])
            while self.workers[context, number][0].aggregates.settle(3):
                pass
        self.gateway_up = self.dice.random() < 0.5
        self._until_quiet()
        if not self.gateway_up:
            self._all_deadlines()
        self.undecided += laws.each_order_ends_once(self.evidence())
        self.gateway_up = True
        self._until_quiet()
        self._all_deadlines()
        facts = self.evidence()
        for event in facts.of(OrderConfirmed):
            self.post(ShipOrder(order_id=event.order_id), f"ship-{event.order_id}")
            self.post(DeliverOrder(order_id=event.order_id), f"deliver-{event.order_id}")
        self._until_quiet()

    def _all_deadlines(self) -> None:
        while any(self._fire(workers[0]) for workers in self.workers.values()):
            self._until_quiet()

    def _until_quiet(self) -> None:
        moved, rounds = True, 0
        while moved:
            moved, rounds = False, rounds + 1
            assert rounds < 200, "the mesh never comes to rest"
            for workers in self.workers.values():
                moved |= self._decide(workers[0], faulty=False)
                moved |= self._effect(workers[0], faulty=False)
            for policy in self.policies:
                moved |= self._react(policy, faulty=False)

    def evidence(self) -> laws.Evidence:
        records = [r for c in self.mesh.contexts.values() for log in self.topics[c.events_topic] for r in log]
        evidence = laws.evidence(self.codec, records)
        evidence.ledger, evidence.message_ids = self.ledger, self.messages
        return evidence

    def broken(self) -> list[str]:
        """What is wrong once all is at rest: also an order that had no outcome while the gateway was away, or waits on."""
        e = self.evidence()
        ended = {event.order_id for event in e.of(OrderCancelled, OrderShipped)}
        waiting = [
            f"{o.order_id} was confirmed and neither sent nor cancelled"
            for o in e.of(OrderConfirmed)
            if o.order_id not in ended
        ]
        return [*self.undecided, *laws.broken(e), *waiting]

    def _decide(self, worker: Worker, *, faulty: bool) -> bool:
        p = worker.aggregates
        waiting = self.topics[p.context.commands_topic][p.number][worker.position :]
        if not waiting:
            return False
        records = waiting[: self.dice.randint(1, 4)] if faulty else waiting
        decision = worker.commands.decide(records)
        for target, record in decision.forwards:
            self.append(p.context.commands_topic, target, [record])
        self.append(p.context.dead_topic, p.number, decision.dead)
        if decision.records:
            if faulty and self.dice.random() < 0.05:
                self._recover(worker)  # the append never arrived
                return True
            base = self.append(p.context.events_topic, p.number, decision.records)
            if faulty and self.dice.random() < 0.05:
                self.append(p.context.events_topic, p.number, decision.records)  # a producer's retry
            if base != decision.expected or (faulty and self.dice.random() < 0.05):  # void, or the answer was lost
                self._recover(worker)
                return True
            if faulty and self.dice.random() < 0.2:
                self._freeze(worker)  # a snapshot is taken while the append is on its way
            p.merge(decision)
        worker.position = records[decision.next - 1].offset + 1
        return True

    def _freeze(self, worker: Worker) -> None:
        """What a snapshot does to its partition; nothing is taken of a log that is only taken in."""
        if self.remember_ids and not worker.aggregates.unread:
            worker.aggregates.cool(freeze(worker.aggregates.capture()).blobs)

    def _recover(self, worker: Worker) -> None:
        p = worker.aggregates
        rest = self.topics[p.context.events_topic][p.number][p.next_offset :]
        (p.take if self.dice.random() < 0.5 else p.fold)(rest)
        worker.position = p.cursor
        if not self.remember_ids:
            p.decided.clear()

    def _crash(self, context: str, number: int, worker: Worker) -> None:
        self.workers[context, number].remove(worker)
        fresh = Worker(context, number, self.mesh)
        self.workers[context, number].append(fresh)
        if self.dice.random() < 0.7:
            self._recover(fresh)
        else:  # it folds an old end of the log, as one does that stands still in between
            p = fresh.aggregates
            log = self.topics[p.context.events_topic][number]
            p.fold(log[: self.dice.randint(0, len(log))])
            fresh.position = p.cursor

    def _react(self, policy: tuple[str, str, int], *, faulty: bool) -> bool:
        context, topic, number = policy
        log = self.topics[topic][number]
        start = self.policies[policy]
        end = min(len(log), start + self.dice.randint(1, 5)) if faulty else len(log)
        if start == end:
            return False
        for record in commands_from(self.mesh.context(context), self.codec, log[start:end]):
            self.append(
                self.mesh.context(context).commands_topic, partition_of(record.key or b"", PARTITIONS), [record]
            )
        if not (faulty and self.dice.random() < 0.1):  # otherwise the position was not committed: it reads again
            self.policies[policy] = end
        return True

    def _effect(self, worker: Worker, *, faulty: bool) -> bool:
        open_ = [i for i in worker.aggregates.intents.values() if not isinstance(i.wanted, Due) and self._reachable(i)]
        if not open_:
            return False
        for intent in [self.dice.choice(open_)] if faulty else open_:
            outcome = self._outside(intent.wanted, intent.key)
            if faulty and self.dice.random() < 0.2:
                continue  # the reply was lost
            record = outgoing_command(self.codec, outcome, f"{intent.key}/outcome", Cause(intent.correlation))
            self.append(worker.aggregates.context.commands_topic, worker.aggregates.number, [record])
        return True

    def _reachable(self, intent: Intent) -> bool:
        return self.gateway_up or isinstance(intent.wanted, Deliver | DestroyKey)

    def _fire(self, worker: Worker) -> bool:
        """Every deadline of a partition has come."""
        due = [i for i in worker.aggregates.intents.values() if isinstance(i.wanted, Due)]
        for intent in due:
            self.append(
                worker.aggregates.context.commands_topic, worker.aggregates.number, [due_command(self.codec, intent)]
            )
        return bool(due)

    def _outside(self, wanted: Any, key: str) -> Any:
        if isinstance(wanted, Deliver):
            self.messages.append(f"<{key}>")
            return RecordDelivery(notification_id=wanted.notification_id, ok=True, message_id=f"<{key}>", reason="")
        if isinstance(wanted, DestroyKey):
            return RecordErasure(user_id=wanted.user_id)
        assert isinstance(wanted, Authorise | Capture | Void | Refund)
        known = next((e for e in self.ledger if e["key"] == key), None) if self.gateway_remembers else None
        if known is None:
            known = self._charge(wanted, key)
            self.ledger.append(known)
        return RecordGatewayOutcome(
            order_id=wanted.order_id,
            step=known["step"],
            ok=known["outcome"] == "ok",
            authorisation=known["authorisation"],
            reason="",
            refund_id=wanted.refund_id if isinstance(wanted, Refund) else "",
        )

    def _charge(self, wanted: Authorise | Capture | Void | Refund, key: str) -> dict[str, Any]:
        opened = None if isinstance(wanted, Authorise) else self._opened(wanted.authorisation)
        card = wanted.card if isinstance(wanted, Authorise) else opened and opened["card"]
        refused = isinstance(wanted, Authorise) and card == "card_declined"
        lapsed = isinstance(wanted, Capture) and card == "card_lapses"
        return {
            "key": key,
            "step": type(wanted).__name__.lower(),
            "authorisation": opened["authorisation"] if opened else f"auth_{len(self.ledger)}",
            "amount_minor": wanted.money.amount_minor
            if isinstance(wanted, Authorise)
            else wanted.amount_minor
            if isinstance(wanted, Refund)
            else opened["amount_minor"],
            "reference": wanted.order_id,
            "outcome": "declined" if refused or lapsed else "ok",
            "card": card,
        }

    def _opened(self, authorisation: str) -> dict[str, Any]:
        return next(e for e in self.ledger if e["authorisation"] == authorisation)
