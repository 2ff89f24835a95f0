"""fold(projection, *events): how every read model is tested; the events come a second apart, the first at T0."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.messages import Meta

T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)


def meta(step: int = 0, **known: Any) -> Meta:
    return replace(
        Meta(
            context="some",
            type="some.Event",
            id=f"some.events/0/{step}",
            subject="one",
            at=T0 + timedelta(seconds=step),
            topic="some.events",
            partition=0,
            offset=step,
            command_id="c",
            command_type="some.Command",
            way="commands",
            command_digest="",
            command_offset=0,
            correlation_id="c",
        ),
        **known,
    )


def fold(projection: Any, *events: Any) -> Any:
    row = None
    for step, event in enumerate(events):
        row = projection.project(row, event, meta(step))
    return row
