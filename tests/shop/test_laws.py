"""The shop's laws, on the code that runs, in worlds where everything fails that can; and that each of them can break."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streams.notifications.decider.message as message
import streams.orders.decider as orders
import streams.payments.decider as payments
import streams.products.decider.stock as stock
import streams.users.decider.email as email
from commands.orders import PlaceOrder
from commands.payments import RefundPayment
from infra.mesh import Mesh
from infra.model import Attempt
from infra.shop.mesh import mesh
from infra.testing.laws import broken
from infra.testing.node import Node
from infra.wire.record import Outgoing
from tests.shop.story import Shop, Wish, a_shop, shop, shop_of, simulation, story, without

SEEDS = range(150)
BOOKS = "the_books_are_right"
OPEN = "nothing_that_was_wanted_is_left_open"

wishes = st.builds(
    Wish,
    card=st.sampled_from(("card_ok", "card_ok", "card_declined", "card_lapses")),
    quantities=st.tuples(st.integers(0, 2), st.integers(1, 2)),
    twice=st.booleans(),
    cancels=st.booleans(),
    refund=st.sampled_from((0, 0, 500, 10**6)),
)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), asked=st.lists(wishes, min_size=1, max_size=5))
def test_the_laws_hold_for_any_customers_under_any_schedule(seed: int, asked: list[Wish]) -> None:
    world = a_shop(seed)
    world.play(partial(story, wishes=asked))
    assert broken(world, simulation.laws) == {}, "\n".join(world.schedule)


@pytest.mark.parametrize("seed", range(10))
def test_the_laws_hold_whoever_joined_the_shop_and_so_do_those_they_brought(seed: int) -> None:
    world, violations = shop_of(mesh).play(seed)
    assert violations == {}, "\n".join(world.schedule)


def test_sending_everything_again_changes_nothing() -> None:
    # given a shop at rest
    world = a_shop(1, gentle=True)
    lengths: list[list[int]] = []

    async def twice(world: Any) -> None:
        await story(world)
        await world.rest()
        lengths.append(events(world))
        # when every command is sent again
        for c in world.mesh.contexts.values():
            for number in range(world.kafka.partitions):
                sent = [Outgoing(r.key, r.value, r.headers) for r in world.kafka.log(c.commands_topic, number)]
                world.kafka.append(c.commands_topic, number, sent)
        await world.rest()
        lengths.append(events(world))

    world.play(twice)
    # then no log is longer
    assert lengths[0] == lengths[1]


def events(world: Shop) -> list[int]:
    places = [
        (c.events_topic, number) for c in world.mesh.contexts.values() for number in range(world.kafka.partitions)
    ]
    return [len(world.kafka.log(*place)) for place in places]


def caught(changed: Mesh, law: str, seeds: range = SEEDS) -> bool:
    """Whether this law is seen to break, in any world."""
    changed_shop = shop_of(changed)
    return any(law in changed_shop.play(seed)[1] for seed in seeds)


def test_a_gateway_that_forgets_its_idempotency_keys_is_caught() -> None:
    class Forgetful(Node):
        """The outside is asked again as if for the first time."""

        async def attempt(self, perform: Any, intent: Any, attempt: Attempt) -> Any:
            self.asked = getattr(self, "asked", 0) + 1
            return await super().attempt(perform, intent, replace(attempt, key=f"{attempt.key}/{self.asked}"))

    assert any(BOOKS in simulation.play(seed, Forgetful)[1] for seed in SEEDS)


HEARD = [(c.name, t.__name__) for c in shop.contexts.values() for t in c.hears]


@pytest.mark.parametrize(("context", "event"), HEARD)
def test_a_policy_that_misses_an_event_is_caught(context: str, event: str) -> None:
    known = shop.context(context)
    deaf = replace(known, hears=tuple(t for t in known.hears if t.__name__ != event))
    assert caught(shop.having(deaf), BOOKS)


def unguarded(module: Any, command: type, state: Callable[[Any], Any]) -> Callable[..., Any]:
    """`decide` that takes one command as if nothing had happened before."""
    return lambda c, s: module.decide(c, state(s) if isinstance(c, command) else s)


def unwanted(payment: Any, event: Any) -> Any:
    if isinstance(event, payments.VoidRequested) and isinstance(payment, payments.Asked | payments.Capturing):
        return payment
    return payments.evolve(payment, event)


MUTANTS = {
    "an order that never expires": without("orders", "due", orders, lambda order_id, order: None),
    "an order that is placed again": without(
        "orders", "decide", orders, unguarded(orders, PlaceOrder, lambda s: orders.initial)
    ),
    "a payment that forgets it is not wanted": without("payments", "evolve", payments, unwanted),
    "a refund that is made for each command": without(
        "payments",
        "decide",
        payments,
        unguarded(
            payments,
            RefundPayment,
            lambda s: replace(s, known=frozenset()) if isinstance(s, payments.Captured) else s,
        ),
    ),
    "a reservation that does not look at what is left": without(
        "products", "decide", stock, unguarded(stock, stock.ReserveStock, lambda s: replace(s, on_hand=10**6))
    ),
    "an address that anybody may reserve": without(
        "users", "decide", email, unguarded(email, email.ReserveEmail, lambda s: email.initial)
    ),
    "a message that is delivered again": without("notifications", "evolve", message, lambda s, e: message.initial),
    "a shipment of what was cancelled": without(
        "orders",
        "decide",
        orders,
        unguarded(orders, orders.ShipOrder, lambda s: orders.Confirmed("user-0", "EUR", 1, (), True)),
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_decider_without_one_of_its_guards_is_caught(mutant: str) -> None:
    # a refund that is asked for twice is the same wish as before: it is never answered
    law = OPEN if mutant == "a refund that is made for each command" else BOOKS
    assert caught(MUTANTS[mutant], law)
