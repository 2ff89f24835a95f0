"""Commands that were posted in a transaction: none is asked before that has ended, and never if it was aborted.

All commands behind an open one wait, as for whoever reads `read_committed`; a broker bounds how long one may stay open
(`transaction.max.timeout.ms`). They are found out about here and not by the consumer, which reads events as well: there
somebody's open transaction stops nobody. https://cwiki.apache.org/confluence/x/ASD0Aw (KIP-98)
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

import structlog

from infra.errors import Unknown
from infra.wire.record import InTransaction, Record
from infra.write.watch import CommandTopics

_log = structlog.get_logger()

AGAIN_S = 0.5
SAID_S = 10.0


async def asked(topics: CommandTopics, records: Sequence[Record]) -> AsyncIterator[Sequence[Record]]:
    """What is asked by these records, of one topic, in portions: what needs not wait comes first."""
    first = next((i for i, record in enumerate(records) if isinstance(record, InTransaction)), len(records))
    if first:
        yield records[:first]
    if rest := records[first:]:
        aborted = await _aborted(topics, rest)
        if asked := [record for record in rest if record.offset not in aborted]:
            yield asked


async def _aborted(topics: CommandTopics, records: Sequence[Record]) -> frozenset[int]:
    """The offsets of those that were aborted, once all their transactions have ended."""
    place, start, end = (records[0].topic, records[0].partition), records[0].offset, records[-1].offset + 1
    said = 0.0
    while True:
        try:
            settled = await topics.settled(place, start, end)
            if settled.end >= end:
                return settled.aborted
            why = f"a transaction is open at offset {settled.end}"
        except Unknown as error:
            why = str(error)
        if said % SAID_S == 0:
            _log.warning("commands wait", topic=place[0], partition=place[1], reason=why)
        said += AGAIN_S
        await asyncio.sleep(AGAIN_S)
