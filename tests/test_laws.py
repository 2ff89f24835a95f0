"""The shop's laws, on the real code under random schedules with crashes, zombies and lost replies; and that they can break."""

from dataclasses import replace
from typing import Any

import pytest

import infra.laws
import infra.partition
import infra.reactions
from commands.orders import CancelOrder
from infra.context import Context
from tests.mesh import World
from tests.orders.examples import place

SEEDS = range(40)


def run(seed: int, **options: Any) -> World:
    world = World(seed, **options)
    for number in range(world.dice.randint(2, 5)):
        order = replace(place, order_id=f"order-{number}", card=world.dice.choice(("card_ok", "card_declined")))
        world.post(order, f"place-{number}")
        if world.dice.random() < 0.4:
            world.post(order, f"place-{number}")
        if world.dice.random() < 0.5:
            world.post(CancelOrder(order_id=order.order_id, reason="changed my mind"), f"cancel-{number}")
        for _ in range(world.dice.randint(0, 60)):
            world.step()
    for _ in range(150):
        world.step()
    world.settle()
    return world


@pytest.mark.parametrize("seed", SEEDS)
def test_the_laws_hold_under_any_schedule(seed: int) -> None:
    assert run(seed).broken() == []


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
    for module in (infra.partition, infra.reactions, infra.laws):
        monkeypatch.setattr(module, "accepted", lambda headers, offset: True)
    assert caught()


def test_forgetting_command_ids_is_caught() -> None:
    assert caught(remember_ids=False)


@pytest.mark.parametrize("event", ["OrderPlaced", "OrderConfirmed", "OrderCancelled"])
def test_a_payments_policy_that_misses_an_event_is_caught(event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from infra import mesh

    payments = mesh.context("payments")
    deaf = replace(payments, hears=tuple(t for t in payments.hears if t.__name__ != event))
    monkeypatch.setattr(
        "infra.mesh.context", lambda name, real=mesh.context: deaf if name == "payments" else real(name)
    )
    assert isinstance(deaf, Context)
    assert any(stuck(seed) for seed in SEEDS)


def stuck(seed: int) -> bool:
    return bool(run(seed).broken())
