"""Where the partitions of a process keep what they have folded."""

from infra.settings import Settings
from infra.write.state import Budget
from infra.write.store import RocksDisk


def disk_and_budget(settings: Settings) -> tuple[RocksDisk, Budget]:
    """Of the memory for it, three tenths are the disk's."""
    cache_mb = settings.state_mb * 3 // 10
    return RocksDisk(settings.home / "state", cache_mb), Budget((settings.state_mb - cache_mb) << 20)
