"""What a law lets pass, and what it does not, where Kafka itself has lost something."""

from collections.abc import Iterator

import pytest

from infra.testing.laws import every_command_is_answered
from infra.testing.world import World
from infra.wire.envelope import ID
from infra.wire.record import Headers, Outgoing
from tests.counter.story import a_world
from tests.infra.counter_log import CONTEXT, decide, fresh

WRONG, RIGHT = (CONTEXT.commands_topic, 1), (CONTEXT.commands_topic, 0)  # of c0
NAMELESS, NAMED = (), ((ID, b"a"),)


@pytest.fixture
def world() -> Iterator[World]:
    world = a_world(0, gentle=True)
    yield world
    world.loop.close()


def asked(world: World, headers: Headers) -> Outgoing:
    """Somebody asks c0 in the wrong partition; how it is forwarded from there."""
    world.kafka.append(*WRONG, [Outgoing(b"c0", b"{}", headers)])
    (forward,) = decide(fresh(partitions=2, number=1), world.kafka.log(*WRONG)).forwards
    return forward.forwarded()


@pytest.mark.parametrize("headers", [NAMELESS, NAMED])
def test_what_was_forwarded_and_lost_where_it_belongs_is_lost(world: World, headers: Headers) -> None:
    # given a command that was forwarded from the wrong partition
    world.kafka.append(*RIGHT, [asked(world, headers)])
    # when Kafka loses what was forwarded
    world.kafka.cut(RIGHT, 0)
    # then nobody can answer it
    assert list(every_command_is_answered(world)) == []


@pytest.mark.parametrize("headers", [NAMELESS, NAMED])
def test_what_was_not_forwarded_has_to_be_answered(world: World, headers: Headers) -> None:
    asked(world, headers)
    assert len(list(every_command_is_answered(world))) == 1


@pytest.mark.parametrize(
    ("place", "key"), [(RIGHT, b"another"), (WRONG, b"c0"), ((CONTEXT.own_topic, RIGHT[1]), b"c0")]
)
def test_what_is_lost_under_its_id_elsewhere_excuses_nothing(world: World, place: tuple[str, int], key: bytes) -> None:
    # given a command in the wrong partition that nobody has forwarded
    forward = asked(world, NAMED)
    # when Kafka loses another of the same id
    end = len(world.kafka.log(*place))
    world.kafka.append(*place, [forward._replace(key=key)])
    world.kafka.cut(place, end)
    # then it has to be answered all the same
    assert len(list(every_command_is_answered(world))) == 1
