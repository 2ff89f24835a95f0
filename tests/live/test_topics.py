"""Topics have what the rule depends on: it is seen when a worker starts, and mended by `weft setup`."""

import time

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from infra.kafka import topics
from tests.live.harness import LiveMesh
from tests.live.weft import weft

DAY_S = 86_400


@pytest.mark.timeout(120)
def test_topics_of_before_are_mended_and_take_events_of_any_time(own_mesh: LiveMesh) -> None:
    live = own_mesh
    for topic, name, value in (
        ("orders.events", "message.timestamp.after.max.ms", "3600000"),
        ("orders.events", "unclean.leader.election.enable", "true"),
        ("orders.own", "unclean.leader.election.enable", "true"),
    ):
        # given a topic that is not as it has to be
        with topics.admin(live.settings) as admin:
            resource = ConfigResource(ResourceType.TOPIC, topic)
            resource.add_incremental_config(ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET))
            admin.incremental_alter_configs([resource])[resource].result(20)
        # then no worker starts, and it says what to do
        refused = weft(live, "run", "orders")
        assert refused.returncode == 1 and name in refused.stderr and "weft setup" in refused.stderr
        # and when that is done, one does
        assert weft(live, "setup").returncode == 0
    live.ready(live.worker("orders"))
    # and what a broker's clock has led to is taken
    producer, errors = Producer({"bootstrap.servers": live.settings.kafka}), []
    at = int((time.time() + 2 * DAY_S) * 1000)
    producer.produce("orders.events", b"", timestamp=at, on_delivery=lambda error, _: errors.append(error))
    assert (producer.flush(20), errors) == (0, [None])
