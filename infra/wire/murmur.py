"""The partitions of many keys at once: 0.5 instead of 2.1 microseconds a key. infra/wire/record.py has the rule.

Keys of one length are hashed together, word by word, all of them in one long integer with a lane of 64 bits for each: so
many hold the product of two words, and nothing spills into the next lane. (Arrow would be as fast, and take 11 MB.)
"""

from array import array
from collections.abc import Sequence

from infra.wire.record import MURMUR_FACTOR, MURMUR_SEED, partition_of

FEW = 16  # keys of one length: for less than that it does not pay
WORD, LANE = 4, 8  # bytes


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """`partition_of` each key."""
    if partitions == 1:
        return [0] * len(keys)
    places: dict[int, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(len(key), []).append(place)
    found = [0] * len(keys)
    for length, same in places.items():
        of_length = [keys[place] for place in same]
        if length and len(same) >= FEW:
            numbers = [(h & 0x7FFFFFFF) % partitions for h in _murmur2(of_length, length)]
        else:
            numbers = [partition_of(key, partitions) for key in of_length]
        for place, number in zip(same, numbers, strict=True):
            found[place] = number
    return found


def _murmur2(keys: Sequence[bytes], length: int) -> Sequence[int]:
    """As record.murmur2."""
    factor, word = MURMUR_FACTOR, _in_every_lane(0xFFFFFFFF, len(keys))
    h = _in_every_lane(MURMUR_SEED ^ length, len(keys))
    columns = _columns(keys, -length % WORD)
    for k in columns[: length // WORD]:
        k = k * factor & word
        h = (h * factor & word) ^ ((k ^ (k >> 24 & word)) * factor & word)
    for rest in columns[length // WORD :]:
        h = (h ^ rest) * factor & word
    h = (h ^ (h >> 13 & word)) * factor & word
    return array("Q", (h ^ (h >> 15 & word)).to_bytes(LANE * len(keys), "little"))


def _columns(keys: Sequence[bytes], missing: int) -> list[int]:
    """The first words of all keys, the second ones, and so on; the last one is filled up."""
    words = array("I", b"".join([key + b"\0" * missing for key in keys]))
    step = len(words) // len(keys)
    return [int.from_bytes(array("Q", words[n::step]).tobytes(), "little") for n in range(step)]


def _in_every_lane(number: int, lanes: int) -> int:
    return int.from_bytes(number.to_bytes(LANE, "little") * lanes, "little")
