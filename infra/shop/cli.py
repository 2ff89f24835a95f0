"""What the shop adds to `weft`: demo, bench, mail."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cyclopts import App

from infra.cli.console import DONE, Json, err, out, settings
from infra.cli.running import fetching, groups, prepare, say
from infra.embedded.instance import Instance
from infra.errors import Unusable
from infra.kafka import topics
from infra.model.needs import Outside
from infra.ops.interrupts import stop_signals
from infra.ops.setup import check_given
from infra.read import analytics
from infra.settings import address
from infra.shop.mesh import mesh as shop
from infra.shop.outside import mail as post


def register(app: App) -> None:
    """Add the shop's commands."""
    for command in (demo, bench, mail):
        app.command(command)


def mail(recipient: str | None = None, /, *, json_: Json = False) -> int:
    """What arrived at the mail server that `weft up` started.

    Example: `weft mail customer-001@example.org`

    Parameters
    ----------
    recipient
        Only what was sent to this address.
    """
    maildir = post.kept_in(settings().home)
    if not maildir.exists():
        raise Unusable("the mail server is not ours: `weft mail` shows what the one of `weft up` keeps")
    for message in post.messages(maildir):
        if recipient in (None, message["to"]):
            text = message["text"].strip()
            out.print(
                json.dumps(message) if json_ else f"{message['to']}  {message['subject']}\n    {text}", markup=False
            )
    return DONE


def demo(*, orders: int = 50, seed: int = 1) -> int:
    """Start everything, place orders (some declined, some cancelled), show the sagas, check that all adds up, stop.

    Works in a directory of its own, removed at the end. Exit 1 if anything does not add up.

    Example: `weft demo --orders 1000`

    Parameters
    ----------
    orders
        How many orders to place.
    seed
        What the dice start from: the same seed places the same orders.
    """
    from infra.shop import demo as story  # its clients are big, and `weft` is often asked other things

    if orders < 1:
        err.print("--orders has to be at least 1", markup=False)
        return 2
    given = shop.outside.nothing_given(settings())
    check_given(given, shop)
    home = Path(tempfile.mkdtemp(prefix="weft-demo-"))
    home.chmod(0o711)  # the service user that Postgres needs under root has to pass
    own = given.having(home=home)
    try:
        with stop_signals() as stopping, Instance(own, shop.outside, say, fetching()) as instance:
            s = instance.start_services()
            mesh = prepare(s, shop)
            instance.start_units(groups(mesh, (), False))
            code = asyncio.run(story.tell(s, mesh, orders, seed, story.Stage(say, stopping, instance.revive)))
            if code != DONE:
                _say_logs(home / "logs")
            return code
    finally:
        shutil.rmtree(home, ignore_errors=True)


def bench(
    what: Literal["commands", "recovery", "rebuild", "flood"] = "commands",
    /,
    *,
    commands: int = 100_000,
    rounds: int | None = None,
    events: int = 1_000_000,
    aggregates: int | None = None,
    reservations: int | None = None,
    intents: int | None = None,
    json_: Json = False,
) -> int:
    """PlaceOrder commands a second through the orders context, against a plain Faust agent with a Table, on one broker.

    Or how long a partition of so many events needs until it decides again, from nothing and from its store. Or events a
    second into a read model: one by one, live, and rebuilt. Or how long a step of an order takes, in the whole mesh, with and
    without a flood of new orders behind it.

    Example: `weft bench --commands 50000 --rounds 3`

    Example: `weft bench recovery --aggregates 1000000`

    Example: `weft bench rebuild --events 1000000`

    Example: `weft bench flood --commands 50000`

    Parameters
    ----------
    what
        commands decided a second, the recovery of a partition, the rebuild of a read model, or orders under way in a flood.
    commands
        How many commands a round posts, or the flood.
    rounds
        How often each is measured; five times, or three for rebuild.
    events
        How long the log is, for recovery and rebuild.
    aggregates
        Of so many orders, all of them open, for recovery.
    reservations
        Of so many reservations of one SKU, for recovery.
    intents
        Of so many payments that the gateway was not heard of and does not answer, for recovery.
    """
    logs = {"aggregates": aggregates, "reservations": reservations, "intents": intents}
    asked = {name: count for name, count in logs.items() if count is not None} or {"events": events}
    too_few = commands < 5000 or (rounds is not None and rounds < 1) or min(asked.values()) < 1000
    if too_few or len(asked) > 1 or (what != "recovery" and "events" not in asked):
        err.print(
            "--commands has to be at least 5000, --rounds at least 1, --events at least 1000; "
            "recovery takes one of --aggregates, --reservations and --intents in its place, at least 1000",
            markup=False,
        )
        return 2
    home = Path(tempfile.mkdtemp(prefix="weft-bench-"))
    home.chmod(0o711)
    own = shop.outside.nothing_given(settings()).having(
        home=home, session_timeout=60.0, postgres=None if what in ("rebuild", "flood") else "-"
    )
    speak = (lambda text: None) if json_ else say
    outside = shop.outside if what == "flood" else Outside()
    try:
        with stop_signals(), Instance(own, outside, speak, fetching()) as instance:
            result = MEASURES[what](instance, Size(commands, rounds, *asked.popitem()), speak)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if json_:
        out.print(json.dumps(result), markup=False)
    return DONE


class Size(NamedTuple):
    """How much a bench does."""

    commands: int
    rounds: int | None
    log: str
    length: int


def _bench_commands(instance: Instance, size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    from infra.shop.bench import commands as measured

    s = instance.start_services()
    result = measured.summary(measured.compare(s, size.commands, size.rounds or 5, say))
    say(
        f"median of {result['rounds']} rounds: Weft {result['weft']:,.0f} commands/s, plain Faust with a Table {result['plain']:,.0f}/s: "
        f"{result['ratio']:.1f} times ({result['ratio_min']:.1f} to {result['ratio_max']:.1f})"
    )
    return result


def _bench_recovery(instance: Instance, size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    from infra.shop.bench import recovery

    s = instance.start_services()
    return recovery.measure(s, size.log, size.length, instance.home / "recovery", say)


def _bench_rebuild(instance: Instance, size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    from infra.shop.bench import rebuild

    s = instance.start_services()
    topics.prepare(s, shop.contexts.values())
    asyncio.run(analytics.prepare(address(s, "postgres"), shop))
    return rebuild.measure(s, size.length, size.rounds or 3, say)


def _bench_flood(instance: Instance, size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    from infra.shop.bench import flood

    s = instance.start_services()
    mesh = prepare(s, shop)
    instance.start_units(groups(mesh, (), False))
    return flood.measure(s, mesh, size.commands, instance.revive, say)


MEASURES = {
    "commands": _bench_commands,
    "recovery": _bench_recovery,
    "rebuild": _bench_rebuild,
    "flood": _bench_flood,
}


def _say_logs(directory: Path) -> None:
    for log in sorted(directory.glob("*.log")):
        err.print(f"--- the end of {log.name}", markup=False)
        err.print("\n".join(line[:1000] for line in log.read_text(errors="replace").splitlines()[-12:]), markup=False)
