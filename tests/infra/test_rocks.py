"""What is read of a RocksDB while others write it."""

from pathlib import Path

from infra.rocks import Memory, Rocks


def test_what_is_written_while_others_read_is_not_taken_for_what_they_cannot_read(tmp_path: Path) -> None:
    # given somebody who is at the last that there is
    rocks = Rocks(tmp_path / "rocks", Memory(1 << 20))
    rocks.write({b"a": b"1"})
    reading = rocks.items()
    assert next(reading) == (b"a", b"1")
    # when more is written behind it
    rocks.write({b"b": b"2"})
    # then that one has read all there was
    assert list(reading) == []
    assert rocks.scan(b"", b"z", 10) == [(b"a", b"1"), (b"b", b"2")]
    rocks.close()
