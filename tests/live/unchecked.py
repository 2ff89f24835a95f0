"""A worker without the expected-offset check, to prove that the chaos test can fail: python -m tests.live.unchecked run"""

import infra.read.fold
import infra.write.aggregates
import infra.write.reactions
from infra.cli import main
from infra.kafka.log import KafkaEventLog


async def append(self: KafkaEventLog, partition: int, records: object, real: object = KafkaEventLog.append) -> int:
    """Wherever the batch landed, the writer is told that it landed where it was expected."""
    await real(self, partition, records)  # type: ignore[operator]
    return int(dict(records[0].headers)["weft-expected-offset"])  # type: ignore[index]


def counts(headers: object, offset: int) -> bool:
    return True


KafkaEventLog.append = append  # type: ignore[method-assign, assignment]
for module in (infra.write.aggregates, infra.read.fold):
    module.is_accepted = lambda record: True  # type: ignore[attr-defined]
infra.write.reactions.accepted = counts  # type: ignore[attr-defined]

if __name__ == "__main__":
    main()
