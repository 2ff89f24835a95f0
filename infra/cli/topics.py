"""`weft topics`: what there is on the broker, more partitions for a context, and what becomes of command topics that lost something."""

import json

from cyclopts import App

from infra.cli.console import DONE, FAILED, Flag, Json, agreed, at_hand, err, out, reached
from infra.cli.running import fetching, say
from infra.embedded.instance import Instance
from infra.errors import Unusable
from infra.kafka import reading
from infra.kafka.inbound import gauging
from infra.mesh import Mesh
from infra.model.needs import Outside
from infra.ops import inbound
from infra.ops.growth import grow as grow_topics
from infra.ops.setup import deployed
from infra.settings import Settings, address
from infra.wire.envelope import Way

topics = App(
    name="topics",
    help="""The topics of every context, how to give one more partitions, and how to go on after one lost something.

    Example: `weft topics list`
    """,
)


@topics.command(name="list")
def list_(*, json_: Json = False) -> int:
    """Every topic of the mesh with its partitions and records.

    Example: `weft topics list`
    """
    s, mesh = reached()
    with reading.opened(s) as client:
        for c in mesh.contexts.values():
            for topic in (c.commands_topic, c.own_topic, c.events_topic, c.dead_topic):
                bounds = [reading.bounds(client, place) for place in reading.partitions_of(client, [topic])]
                found = {"topic": topic, "partitions": len(bounds), "records": sum(high - low for low, high in bounds)}
                line = f"{topic:24} {found['partitions']:4} partitions {found['records']:12} records"
                out.print(json.dumps(found) if json_ else line, markup=False)
    return DONE


@topics.command
def grow(context: str, /, *, partitions: int) -> int:
    """Give a context more partitions: its events are copied into a new topic, ids and the order of each key kept, and compared.

    Stop the workers first (an embedded mesh: `weft down`). Whoever was interrupted runs the same command again. The old topic
    stays, sealed: nobody can append to it any more. Programs that read it have to read the new one.

    Example: `weft topics grow orders --partitions 12`

    Parameters
    ----------
    context
        The context that gets more.
    partitions
        How many it shall have; more than it has.
    """
    s, mesh = at_hand()
    mesh.context(context)
    if s.kafka is not None:
        return _grow(s, mesh, context, partitions)
    # an embedded mesh that is down: its Kafka and Postgres are needed, and no worker
    with Instance(s, Outside(), say, fetching()) as instance:
        return _grow(instance.start_services(), mesh, context, partitions)


@topics.command
def accept(context: str, /, *partitions: int, yes: Flag = False) -> int:
    """Let CONTEXT go on with command topics that lost something: its log says from then on where each goes on.

    A partition whose command topic was made anew, cut, or lost commands that nobody had decided stands still until then;
    `weft status` names it. What is lost is said first, and asked about. All that is still there is decided: what was decided
    before is known, and changes nothing. What CONTEXT had asked itself in its own topic and lost, it asks again: what its policy
    heard is heard again from where nothing of it can be lost. So its workers have to be stopped for that (an embedded mesh:
    `weft down`).

    Example: `weft topics accept orders 0`

    Parameters
    ----------
    context
        Whose command topics.
    partitions
        Only these; all that stand still by default.
    yes
        Do not ask.
    """
    s, mesh = at_hand()
    mesh.context(context)
    if s.kafka is not None:
        return _accept(s, deployed(s, mesh), context, partitions, yes)
    # an embedded mesh that is down: its Kafka is needed, and no worker
    with Instance(s, Outside(), say, fetching()) as instance:
        s = instance.start_services()
        return _accept(s, deployed(s, mesh), context, partitions, yes)


def _accept(s: Settings, mesh: Mesh, context: str, partitions: tuple[int, ...], yes: bool) -> int:
    c = mesh.context(context)
    with reading.opened(s) as client, gauging(address(s, "kafka")) as gauge:
        known = inbound.tails(mesh.codec, client, c, partitions or None)
        if unknown := sorted({*partitions} - known.keys()):
            raise Unusable(f"{c.events_topic} has no partition {unknown[0]}")
        offered, without = inbound.offers(client, gauge, c, known, c.partition_count(s))
        for trouble in without:
            err.print(f"{trouble}: {trouble.next(context)}", style="red", markup=False)
        for offer in offered:
            err.print(str(offer.trouble), style="yellow", markup=False)
            out.print(
                f"  it would go on at offset {offer.cursor}: {offer.waiting} commands are there, and {_who_asks(offer)}",
                markup=False,
            )
        if not offered:
            out.print(
                f"nothing of {context} has to be accepted" if not without else "nothing was accepted", markup=False
            )
            return FAILED if without else DONE
        inbound.check_at_rest(s, mesh, c, offered)
        if not yes and not agreed(f"let {context} go on like that?"):
            err.print("nothing was accepted; `--yes` does not ask", markup=False)
            return FAILED
        accepted, again = inbound.accept(s, mesh, client, gauge, c, known, offered)
    for offer in accepted:
        topic, number = offer.trouble.place
        out.print(f"{topic}/{number} goes on at offset {offer.cursor}", markup=False)
    for (topic, number), offset in again.items():
        out.print(f"{context} hears {topic}/{number} again from offset {offset} on", markup=False)
    return FAILED if without else DONE


def _who_asks(offer: inbound.Offer) -> str:
    if offer.way is Way.COMMANDS:
        return "whoever asked what is lost has to ask again"
    return (
        "what is lost is asked again when its workers start: what its policy heard, what is wanted of the outside, and deadlines; "
        "but not what was sent again of dead letters (`weft dead list`), nor what a webhook brought"
    )


def _grow(s: Settings, mesh: Mesh, context: str, partitions: int) -> int:
    events, grown = grow_topics(s, deployed(s, mesh), context, partitions, say)
    topic = grown.context(context).events_topic
    out.print(
        f"{events} events are in {topic}, which has {partitions} partitions; start the workers again", markup=False
    )
    return DONE
