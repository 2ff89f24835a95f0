"""The shop in a simulated world: what its customers do, what the outside does for it, and the shop's laws."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from commands.notifications import RecordDelivery
from commands.orders import CancelOrder, DeliverOrder, PlaceOrder, ShipOrder
from commands.payments import RecordGatewayOutcome, RefundPayment
from commands.products import AdjustStock, ChangePrice, DelistProduct, ListProduct
from commands.users import ChangeContactChannels, EraseUser, RecordErasure, RegisterUser
from infra import Unknown
from infra.mesh import Mesh
from infra.shop import laws as books
from infra.shop.laws import Evidence
from infra.shop.mesh import CONTEXTS
from infra.shop.mesh import mesh as whole
from infra.testing.laws import LAWS
from infra.testing.node import Node
from infra.testing.simulate import Simulation
from infra.testing.world import World
from schemas.orders import OrderCancelled, OrderConfirmed, OrderLine, OrderShipped
from schemas.users import Channel
from streams.notifications.decider.message import Deliver
from streams.payments.decider import Authorise, Capture, Refund, Void
from streams.users.decider.user import DestroyKey
from tests import brought

# without those that joined, so that a seed plays the same whoever did
shop = replace(whole, contexts={name: whole.context(name) for name in CONTEXTS})

SKUS = {"mug": 1250, "tea": 690}
CARDS = ("card_ok", "card_ok", "card_declined", "card_lapses")
HOUR_S = 3600.0
WEEK_S = 7 * 24 * HOUR_S


@dataclass(frozen=True)
class Wish:
    """What one customer does."""

    card: str
    quantities: tuple[int, int]
    twice: bool
    cancels: bool
    refund: int


@dataclass
class Outside:
    """A gateway with a ledger, which may be away, and channels that keep what they were given."""

    up: bool = True
    ledger: list[dict[str, Any]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    async def pay(self, wanted: Authorise | Capture | Void | Refund, key: str) -> RecordGatewayOutcome:
        if not self.up:
            raise Unknown("the gateway is away")
        entry = self._enter(wanted, key)
        self.ledger.append(entry)
        return RecordGatewayOutcome(
            order_id=wanted.order_id,
            step=entry["step"],
            ok=entry["outcome"] == "ok",
            authorisation=entry["authorisation"],
            reason="",
            refund_id=wanted.refund_id if isinstance(wanted, Refund) else "",
        )

    def _enter(self, wanted: Authorise | Capture | Void | Refund, key: str) -> dict[str, Any]:
        entry = {"key": key, "step": type(wanted).__name__.lower(), "reference": wanted.order_id, "outcome": "ok"}
        if isinstance(wanted, Authorise):
            declined = {"outcome": "declined"} if wanted.card == "card_declined" else {}
            name, amount = f"auth_{len(self.ledger)}", wanted.money.amount_minor
            return entry | declined | {"authorisation": name, "amount_minor": amount, "card": wanted.card}
        hold = next(e for e in self.ledger if e["authorisation"] == wanted.authorisation)
        entry |= {name: hold[name] for name in ("authorisation", "amount_minor", "card")}
        if isinstance(wanted, Refund):
            return entry | {"amount_minor": wanted.amount_minor}
        lapsed = isinstance(wanted, Capture) and hold["card"] == "card_lapses"
        return entry | ({"outcome": "declined"} if lapsed else {})

    async def tell(self, wanted: Deliver, key: str) -> RecordDelivery:
        self.messages.append(f"<{key}>")
        return RecordDelivery(notification_id=wanted.notification_id, ok=True, message_id=f"<{key}>", reason="")

    async def destroy(self, wanted: DestroyKey, key: str) -> RecordErasure:
        return RecordErasure(user_id=wanted.user_id)


@dataclass
class Shop(World):
    """A world of the shop, with its outside."""

    undecided: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.around = Outside()
        self.outside = brought.outside(self.mesh.contexts) | {
            "payments": self.around.pay,
            "notifications": self.around.tell,
            "users": self.around.destroy,
        }

    def evidence(self) -> Evidence:
        """The log as it is, and what the outside says."""
        topics = [c.events_topic for c in self.mesh.contexts.values()]
        records = [r for topic in topics for p in range(self.kafka.partitions) for r in self.kafka.log(topic, p)]
        evidence = books.evidence(self.mesh.codec, records)
        evidence.ledger, evidence.message_ids = self.around.ledger, self.around.messages
        return evidence


def a_wish(world: World) -> Wish:
    dice = world.dice
    return Wish(
        card=dice.choice(CARDS),
        quantities=(dice.randint(0, 2), dice.randint(1, 2)),
        twice=dice.random() < 0.4,
        cancels=dice.random() < 0.5,
        refund=dice.choice((0, 0, 500, 10**6)),
    )


async def story(world: World, wishes: list[Wish] | None = None) -> None:
    """Products and customers come, order, cancel; the gateway may be away for long; what is paid is sent; money goes back."""
    assert isinstance(world, Shop)
    dice = world.dice
    asked = [a_wish(world) for _ in range(dice.randint(2, 5))] if wishes is None else wishes
    _open_shop(world)
    await world.while_(4)
    for number, wish in enumerate(asked):
        await _customer(world, number, wish)
        await world.while_(2)
    if dice.random() < 0.2:
        world.post(ChangePrice(sku="tea", unit_price_minor=700), "dearer")
        world.post(DelistProduct(sku="mug"), "delisted")
    if dice.random() < 0.2:
        world.post(EraseUser(user_id="user-0"), "erase")
    await _settle(world)
    world.post(ChangeContactChannels(user_id="user-0", channels=(_sms(),)), "channels")
    for number, wish in enumerate(asked):
        for time in range(2 if wish.refund else 0):  # the same refund, asked twice by two commands
            back = RefundPayment(order_id=f"order-{number}", refund_id="r1", amount_minor=wish.refund)
            world.post(back, f"refund-{number}-{time}")


def _sms() -> Channel:
    return Channel(kind="sms", address="weft1:user-0:number")


def _open_shop(world: World) -> None:
    for sku, price in SKUS.items():
        world.post(ListProduct(sku=sku, name=sku, unit_price_minor=price, currency="EUR"), f"list-{sku}")
        world.post(AdjustStock(sku=sku, delta=world.dice.randint(0, 5), reason="delivery"), f"adjust-{sku}")
    for number in range(2):
        user = f"user-{number}"
        sealed = f"weft1:{user}:box"
        registration = RegisterUser(user_id=user, email=sealed, email_key=f"key-{number // 2}", name=sealed)
        world.post(registration, f"register-{number}")


async def _customer(world: World, number: int, wish: Wish) -> None:
    lines = tuple(
        OrderLine(sku=sku, quantity=quantity, unit_price_minor=SKUS[sku])
        for sku, quantity in zip(SKUS, wish.quantities, strict=True)
        if quantity
    )
    order_id = f"order-{number}"
    order = PlaceOrder(order_id=order_id, customer_id=f"user-{number % 2}", card=wish.card, currency="EUR", lines=lines)
    world.post(order, f"place-{number}")
    if wish.twice:
        world.post(order, f"place-{number}")
        world.post(order, f"place-{number}-again")
    if wish.cancels:
        await world.while_(world.dice.choice((0, 0.5, 3)))
        world.post(CancelOrder(order_id=order_id, reason="changed my mind"), f"cancel-{number}")


async def _settle(world: Shop) -> None:
    """Half of the time the gateway is away until orders expire. Then all deadlines pass, and everything that is paid is sent."""
    world.around.up = world.dice.random() < 0.5
    await world.rest(outside_is_up=world.around.up)
    if not world.around.up:
        await world.leap(HOUR_S)
        await world.rest(outside_is_up=False)
    world.undecided += books.each_order_ends_once(world.evidence())
    world.around.up = True
    await world.leap(WEEK_S)
    await world.rest()
    for event in world.evidence().of(OrderConfirmed):
        world.post(ShipOrder(order_id=event.order_id), f"ship-{event.order_id}")
        world.post(DeliverOrder(order_id=event.order_id), f"deliver-{event.order_id}")
    await world.rest()


def the_books_are_right(world: World) -> Iterator[str]:
    """The shop's own laws; also of an order that had no outcome while the gateway was away, or waits on."""
    assert isinstance(world, Shop)
    evidence = world.evidence()
    ended = {event.order_id for event in evidence.of(OrderCancelled, OrderShipped)}
    yield from world.undecided
    yield from books.broken(evidence)
    for event in evidence.of(OrderConfirmed):
        if event.order_id not in ended:
            yield f"{event.order_id} was confirmed and neither sent nor cancelled"


def what_contexts_brought_holds(world: World) -> Iterator[str]:
    assert isinstance(world, Shop)
    yield from brought.broken(world.mesh.contexts, world.evidence().of(object))


def a_shop(seed: int, node: type[Node] = Node, mesh: Mesh = shop, **known: Any) -> Shop:
    return Shop(mesh, seed, node=node, **known)


simulation = Simulation(a_shop, story, (*LAWS, the_books_are_right, what_contexts_brought_holds))


def shop_of(mesh: Mesh) -> Simulation:
    """The same simulation of a shop that is built otherwise."""
    return replace(simulation, world=lambda seed, node: a_shop(seed, node, mesh))


def without(context: str, function: str, module: Any, instead: Callable[..., Any]) -> Mesh:
    """The shop with one function of a decider replaced."""
    known = shop.context(context)
    aggregates = tuple(replace(a, **{function: instead}) if a.evolve is module.evolve else a for a in known.aggregates)
    return shop.having(replace(known, aggregates=aggregates))
