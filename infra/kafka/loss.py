"""What the bounds of a partition say: whether its log lost its beginning, or what somebody has read of it before."""

from infra.errors import LogDamaged


def check_beginning(topic: str, partition: int, low: int) -> None:
    """LogDamaged unless the first offset that is still there is 0."""
    if low != 0:
        raise LogDamaged(
            f"{topic}/{partition} starts at offset {low}: events were deleted. Restore the topic; its retention.ms has to be -1 and it is never compacted"
        )


def check_end(topic: str, partition: int, end: int, seen: int) -> None:
    """LogDamaged if a partition ends before the offset that was to be read next."""
    if end < seen:
        raise LogDamaged(
            f"{topic}/{partition} ends at {end}, but offset {seen - 1} was read before: the log lost data. Restore it, or rebuild from what is left"
        )
