"""The shop's laws, on the real code under random schedules with crashes, zombies and lost replies; and that they can break."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import infra.shop.laws
import infra.write.aggregates
import infra.write.reactions
import streams.notifications.decider.message as message
import streams.orders.decider as orders
import streams.payments.decider as payments
import streams.products.decider.stock as stock
import streams.users.decider.email as email
from commands.orders import CancelOrder, PlaceOrder
from commands.payments import RefundPayment
from commands.products import AdjustStock, ChangePrice, DelistProduct, ListProduct
from commands.users import ChangeContactChannels, EraseUser, RegisterUser
from infra.model.context import Context
from infra.shop.mesh import mesh
from infra.wire.record import Outgoing
from schemas.orders import OrderLine
from schemas.users import Channel as UserChannel
from tests.mesh import Worker, World

SKUS = {"mug": 1250, "tea": 690}
SEEDS = range(60)


@dataclass(frozen=True)
class Wish:
    """What one customer does."""

    card: str
    quantities: tuple[int, int]
    twice: bool
    cancels: bool
    refund: int


wishes = st.builds(
    Wish,
    card=st.sampled_from(("card_ok", "card_ok", "card_declined", "card_lapses")),
    quantities=st.tuples(st.integers(0, 2), st.integers(1, 2)),
    twice=st.booleans(),
    cancels=st.booleans(),
    refund=st.sampled_from((0, 0, 500, 10**6)),
)


def a_wish(world: World) -> Wish:
    dice = world.dice
    return Wish(
        card=dice.choice(("card_ok", "card_ok", "card_declined", "card_lapses")),
        quantities=(dice.randint(0, 2), dice.randint(1, 2)),
        twice=dice.random() < 0.4,
        cancels=dice.random() < 0.5,
        refund=dice.choice((0, 0, 500, 10**6)),
    )


def run(seed: int, asked: list[Wish] | None = None, **options: Any) -> World:
    world = World(seed, **options)
    dice = world.dice
    asked = [a_wish(world) for _ in range(dice.randint(2, 5))] if asked is None else asked
    for sku, price in SKUS.items():
        world.post(ListProduct(sku=sku, name=sku, unit_price_minor=price, currency="EUR"), f"list-{sku}")
        world.post(AdjustStock(sku=sku, delta=dice.randint(0, 5), reason="delivery"), f"adjust-{sku}")
    for number in range(2):
        user = f"user-{number}"
        sealed = f"weft1:{user}:box"
        one = RegisterUser(user_id=user, email=sealed, email_key=f"key-{number // 2}", name=sealed)
        world.post(one, f"register-{number}")
    for _ in range(dice.randint(0, 150)):
        world.step()
    for number, wish in enumerate(asked):
        customer(world, number, wish)
        for _ in range(dice.randint(0, 60)):
            world.step()
    if dice.random() < 0.2:
        world.post(ChangePrice(sku="tea", unit_price_minor=700), "dearer")
        world.post(DelistProduct(sku="mug"), "delisted")
    if dice.random() < 0.2:
        world.post(EraseUser(user_id="user-0"), "erase")
    for _ in range(150):
        world.step()
    world.settle()
    sms = UserChannel(kind="sms", address="weft1:user-0:number")
    world.post(ChangeContactChannels(user_id="user-0", channels=(sms,)), "channels")
    for number, wish in enumerate(asked):
        if wish.refund:
            for time in range(2):  # the same refund, asked twice by two commands
                back = RefundPayment(order_id=f"order-{number}", refund_id="r1", amount_minor=wish.refund)
                world.post(back, f"refund-{number}-{time}")
    world.settle()
    return world


def customer(world: World, number: int, wish: Wish) -> None:
    lines = [
        OrderLine(sku=sku, quantity=quantity, unit_price_minor=SKUS[sku])
        for sku, quantity in zip(SKUS, wish.quantities, strict=True)
        if quantity
    ]
    order_id = f"order-{number}"
    order = PlaceOrder(
        order_id=order_id, customer_id=f"user-{number % 2}", card=wish.card, currency="EUR", lines=tuple(lines)
    )
    world.post(order, f"place-{number}")
    if wish.twice:
        world.post(order, f"place-{number}")
        world.post(order, f"place-{number}-again")
    if wish.cancels:
        for _ in range(world.dice.choice((0, 10, 60))):
            world.step()
        world.post(CancelOrder(order_id=order_id, reason="changed my mind"), f"cancel-{number}")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), asked=st.lists(wishes, min_size=1, max_size=5))
def test_the_laws_hold_for_any_customers_under_any_schedule(seed: int, asked: list[Wish]) -> None:
    assert run(seed, asked).broken() == []


def test_sending_everything_again_changes_nothing() -> None:
    world = run(1)
    before = {topic: [len(log) for log in logs] for topic, logs in world.topics.items() if topic.endswith(".events")}
    for c in mesh.contexts.values():
        for number, log in enumerate(world.topics[c.commands_topic]):
            world.append(c.commands_topic, number, [Outgoing(r.key, r.value, r.headers) for r in log])
    world.settle()
    after = {topic: [len(log) for log in logs] for topic, logs in world.topics.items() if topic.endswith(".events")}
    assert after == before


@pytest.mark.parametrize("seed", range(8))
def test_a_log_folded_in_any_pieces_is_what_its_owner_decided(seed: int) -> None:
    world = run(seed)
    for (context, number), (owner, *_) in world.workers.items():
        log = world.topics[f"{context}.events"][number]
        folded = Worker(context, number).aggregates
        start = 0
        while start < len(log):
            end = start + world.dice.randint(1, 40)
            folded.fold(log[start:end])
            start = end
        for part in ("states", "queues", "cursor", "next_offset", "timestamp"):
            assert getattr(folded, part) == getattr(owner.aggregates, part), (context, number, part)
        opened = [{i.place: (i.key, i.at) for i in p.intents.values()} for p in (folded, owner.aggregates)]
        assert opened[0] == opened[1]


def caught(**options: Any) -> bool:
    """Whether any seed breaks a law, or runs into a state that cannot be."""
    for seed in SEEDS:
        try:
            if run(seed, **options).broken():
                return True
        except Exception:
            return True
    return False


def test_accepting_every_record_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infra.write.aggregates, "is_accepted", lambda record: True)
    for module in (infra.write.reactions, infra.shop.laws):
        monkeypatch.setattr(module, "accepted", lambda headers, offset: True)
    assert caught()


def test_forgetting_command_ids_is_caught() -> None:
    assert caught(remember_ids=False)


def test_a_gateway_that_forgets_its_idempotency_keys_is_caught() -> None:
    assert caught(gateway_remembers=False)


HEARD = [(c.name, t.__name__) for c in mesh.contexts.values() for t in c.hears]


@pytest.mark.parametrize(("context", "event"), HEARD)
def test_a_policy_that_misses_an_event_is_caught(context: str, event: str) -> None:
    known = mesh.context(context)
    deaf = replace(known, hears=tuple(t for t in known.hears if t.__name__ != event))
    assert caught(mesh=mesh.having(deaf))


def without(module: Any, name: str, instead: Callable[..., Any]) -> Context:
    """The context of a decider, with one of its functions replaced."""
    context = next(
        c
        for c in mesh.contexts.values()
        for a in c.aggregates
        if module.__name__.endswith(("." + a.name, f"{c.name}.decider")) and a.evolve is module.evolve
    )
    aggregates = [replace(a, **{name: instead}) if a.evolve is module.evolve else a for a in context.aggregates]
    return replace(context, aggregates=tuple(aggregates))


def unguarded(module: Any, command: type, state: Any) -> Callable[..., Any]:
    """`decide` that takes one command as if nothing had happened before."""
    return lambda c, s: module.decide(c, state(s) if isinstance(c, command) else s)


MUTANTS = {
    "an order that never expires": lambda: without(orders, "due", lambda order_id, order: None),
    "an order that is placed again": lambda: without(
        orders, "decide", unguarded(orders, PlaceOrder, lambda s: orders.initial)
    ),
    "a payment that forgets it is not wanted": lambda: without(
        payments,
        "evolve",
        lambda s, e: (
            s
            if isinstance(e, payments.VoidRequested) and isinstance(s, payments.Asked | payments.Capturing)
            else payments.evolve(s, e)
        ),
    ),
    "a refund that is made for each command": lambda: without(
        payments,
        "decide",
        unguarded(
            payments,
            RefundPayment,
            lambda s: replace(s, known=frozenset()) if isinstance(s, payments.Captured) else s,
        ),
    ),
    "a reservation that does not look at what is left": lambda: without(
        stock, "decide", unguarded(stock, stock.ReserveStock, lambda s: replace(s, on_hand=10**6))
    ),
    "an address that anybody may reserve": lambda: without(
        email, "decide", unguarded(email, email.ReserveEmail, lambda s: email.initial)
    ),
    "a message that is delivered again": lambda: without(message, "evolve", lambda s, e: message.initial),
    "a shipment of what was cancelled": lambda: without(
        orders,
        "decide",
        unguarded(orders, orders.ShipOrder, lambda s: orders.Confirmed("user-0", "EUR", 1, (), True)),
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_decider_without_one_of_its_guards_is_caught(mutant: str) -> None:
    assert caught(mesh=mesh.having(MUTANTS[mutant]()))
