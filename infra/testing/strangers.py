"""What anybody who may write to a topic of commands may write there, and no context can be asked."""

from collections.abc import Sequence
from random import Random

from infra.messages import MAX_ID
from infra.wire.envelope import ID, TYPE
from infra.wire.record import MAX_BATCH_BYTES, MAX_COMMAND_BYTES, Headers, Outgoing, Read
from infra.write.parking import MAX_DEAD_BYTES, MAX_HEADERS

TOO_LARGE = b"{" + b" " * MAX_COMMAND_BYTES + b"}"
UNPACKED = b" " * MAX_DEAD_BYTES  # what a batch may unpack to, and no topic holds
FULL = b" " * (MAX_BATCH_BYTES - 100)  # with its headers as much as a topic takes, and no more of them
MANY = [(f"h{number}", b"") for number in range(MAX_HEADERS)]


def noise(asked: Sequence[Read], identity: str, dice: Random) -> Outgoing:
    """One record, most of the time about an aggregate that others ask too, or made of what they asked it."""
    model = dice.choice(asked) if asked else Read("", 0, 0, 0, b"nobody", b"{}", ())
    key, value, type_ = model.key, model.value or b"", dict(model.headers).get(TYPE) or b"none"
    id_, named = (ID, identity.encode()), (TYPE, type_)
    headers: Headers = [id_, named]
    return dice.choice(
        (
            Outgoing(key, b"\xff\xfe", headers),
            Outgoing(key, b"\0\xff\xff\xff\xff" + value, headers),
            Outgoing(key, value[:-1], headers),
            Outgoing(key, value if model.topic.endswith(".own") else value[:-1], headers),
            Outgoing(key, value[:-1], [(ID, dict(model.headers).get(ID) or b"taken"), named]),
            Outgoing(key, value, [id_, (TYPE, b"of.Nobody")]),
            Outgoing(b"another", value, headers),
            Outgoing(key, b"{}", []),
            Outgoing(key, b'{"amount": "many"}', headers),
            Outgoing(key, TOO_LARGE, headers),
            Outgoing(key, UNPACKED, [*MANY, *headers]),
            Outgoing(key, FULL, headers),
            Outgoing(key, value[:-1], [*headers, ("dlq-original-topic", b"of.own")]),
            Outgoing(key, None, headers),
            Outgoing(key, value[:-1], [(ID, b"i" * (MAX_ID + 1)), named]),
            Outgoing(None, value, headers),
            Outgoing(b"\xff", value, headers),
            Outgoing(b"k" * 2000, value, headers),
        )
    )
