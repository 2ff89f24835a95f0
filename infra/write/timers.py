"""Deadlines: when a moment that a state named has come, the command due then is posted.

What is due is read from the agenda, and after a recovery read again: a deadline that fires late, twice or in vain does no
harm, since it counts only while what it answers is open, and the aggregate's log decides.
"""

from collections.abc import Sequence

import structlog

from infra.kafka.log import CommandSink, addressed, until_known
from infra.wire.avro import Codec
from infra.wire.envelope import DUE_OF, Cause
from infra.wire.record import Outgoing
from infra.write.intents import Intent, moment
from infra.write.reactions import outgoing_command

_log = structlog.get_logger()


def due_command(codec: Codec, intent: Intent) -> Outgoing:
    """The command of a Due whose moment has come; it happens at that moment or later, never before."""
    cause = Cause(intent.correlation, intent.key, moment(intent))
    return outgoing_command(codec, intent.wanted.command, f"{intent.key}/due", cause, (DUE_OF, intent.key.encode()))


async def fire(codec: Codec, sink: CommandSink, topic: str, partitions: int, due: Sequence[Intent]) -> None:
    """Post the commands of these, however long that takes."""
    records = [due_command(codec, intent) for intent in due]
    _log.info("deadlines", topic=topic, count=len(due))
    await until_known(lambda: sink.send(topic, addressed(records, partitions)))
