"""What a context asked itself because of what its policy heard, and lost: the policy hears that again. Pure.

How far it has heard lies behind what was lost. Each partition of its log has marks: up to which place of each source the
reactions asked there are decided. From there on it is heard again, and what is decided is known by its place.

The marks tell repetitions only if reactions come in the order of what they are to. So those that wait behind what was lost are
passed over, and heard again with it; what else waits there (answers, deadlines, what somebody sent again) is asked once more
behind them.
"""

from collections.abc import Collection, Iterable, Mapping

from infra.kafka.reading import Place
from infra.messages import Begun
from infra.wire.avro import Codec
from infra.wire.envelope import ID, REACTION, EventRecord, ReactionPlace, beginning, marked, reaction_place
from infra.wire.record import Outgoing, Read, place_of, with_header
from infra.write.aggregates import NOWHERE
from infra.write.heard import Listener

Marks = Mapping[bytes, ReactionPlace]


def source_of(who: Listener, place: Place) -> bytes:
    """What a policy hears there, as reactions and marks name it."""
    return f"{who.topic_ids[place[0]]}/{place[1]}".encode()


def safe_position(marks: Marks, source: bytes) -> int:
    """From where on nothing of this source is sure to be decided; the event of the last that is has perhaps others."""
    return max(marks.get(source, NOWHERE)[0], marks.get(beginning(source), NOWHERE)[0], 0)


def lowered(
    who: Listener, known: Mapping[bytes, int], places: Iterable[Place], lost: Collection[Marks]
) -> dict[Place, int]:
    """Where a policy has to go on hearing these places, of those where it is past that; `lost` are the marks of partitions that lost something."""
    safe = {place: min((safe_position(marks, source_of(who, place)) for marks in lost), default=0) for place in places}
    return {place: offset for place, offset in safe.items() if offset < known.get(who.key(place), 0)}


def note_marks(marks: dict[bytes, ReactionPlace], codec: Codec, event: EventRecord) -> None:
    """Take in an accepted event of a partition: which reaction it was to, or where its policy has begun."""
    told: list[tuple[bytes, ReactionPlace]] = []
    if event.identity is not None and event.identity[0] == REACTION:
        source, place = reaction_place(event.identity[1])
        told = [(mark, place) for mark in marked(source, event.owns)]
    elif event.value[:5] == codec.prefix_of(Begun):
        places = (said.rsplit("/", 1) for said in codec.decode(event.value).places)
        told = [(beginning(source.encode()), (int(offset), -1)) for source, offset in places]
    for mark, place in told:
        marks[mark] = max(place, marks.get(mark, NOWHERE))


def is_heard_again(record: Read, sources: Collection[bytes], marks: Marks) -> bool:
    """Whether it is a reaction to one of these sources that nobody has decided: then it comes again by itself."""
    given = dict(record.headers).get(REACTION)
    if given is None:
        return False
    try:
        source, place = reaction_place(given)
    except ValueError:
        return False  # a stranger's: it is answered
    source = source.partition(b"@")[0]
    return source in sources and place > marks.get(source, NOWHERE)


def asked_once_more(record: Read) -> Outgoing:
    """The same, to stand behind what is passed over; one without an id keeps the name it had by its place."""
    named = (
        record.headers if dict(record.headers).get(ID) else with_header(record.headers, ID, place_of(record).encode())
    )
    return Outgoing(record.key, record.value, list(named))
