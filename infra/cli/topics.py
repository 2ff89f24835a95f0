"""`weft topics`: what there is on the broker, and more partitions for a context."""

import json

from cyclopts import App

from infra.cli.console import DONE, Json, at_hand, out, reached
from infra.cli.running import fetching, say
from infra.embedded.instance import Instance
from infra.kafka import reading
from infra.mesh import Mesh
from infra.model.needs import Outside
from infra.ops.growth import grow as grow_topics
from infra.ops.setup import deployed
from infra.settings import Settings

topics = App(
    name="topics",
    help="""The topics of every context, and how to give one more partitions.

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


def _grow(s: Settings, mesh: Mesh, context: str, partitions: int) -> int:
    events, grown = grow_topics(s, deployed(s, mesh), context, partitions, say)
    topic = grown.context(context).events_topic
    out.print(
        f"{events} events are in {topic}, which has {partitions} partitions; start the workers again", markup=False
    )
    return DONE
