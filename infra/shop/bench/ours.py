"""python -m infra.shop.bench.ours SUFFIX COUNT: the orders context of Weft, as it is; prints one JSON line."""

import asyncio
import json
import sys

from infra.ops.disk import disk_and_budget
from infra.ops.run import tune
from infra.settings import Settings
from infra.shop.bench.work import Clock, context
from infra.shop.mesh import mesh
from infra.write.host import worker
from infra.write.owner import Owner


async def main(suffix: str, count: int) -> None:
    clock = Clock(count)
    owners: list[Owner] = []
    disk, budget = disk_and_budget(Settings())
    running = asyncio.create_task(worker.run(mesh, context(suffix), Settings(), disk, budget, started=owners.append))
    while clock.finished is None and not running.done():
        await asyncio.sleep(0.005)
        clock.at(sum(w.aggregates.next_offset for owner in owners for w in owner.writers.values()))
    running.cancel()
    await asyncio.wait([running])
    print(json.dumps(clock.finished))


if __name__ == "__main__":
    tune()
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
