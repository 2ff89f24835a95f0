"""What is said of command topics when Kafka answers late, in part, or of one that changes meanwhile."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.errors import Unknown
from infra.kafka import reading
from infra.kafka.inbound import Found, Gauge, Unanswered
from infra.wire.record import Read

TOPIC = "orders.commands"
END = 5


def answered(value: Any) -> "Future[Any]":
    future: Future[Any] = Future()
    if isinstance(value, BaseException):
        future.set_exception(value)
    else:
        future.set_result(value)
    return future


def refusal(code: int) -> KafkaException:
    return KafkaException(KafkaError(code))


@dataclass
class Admin:
    """A broker as an admin client has it: `offsets`, `described` and `deleted` are what it says of a partition, or a topic, that is not well."""

    partitions: int = 4
    low: int = 0
    offsets: Mapping[int, BaseException] = field(default_factory=dict)
    described: BaseException | None = None
    deleted: BaseException | None = None
    topic_id: str = "t"
    asked: list[Any] = field(default_factory=list)

    def list_topics(self, timeout: float) -> None: ...

    def list_offsets(self, asked: Mapping[Any, Any], request_timeout: float) -> dict[Any, "Future[Any]"]:
        def offset(tp: Any, spec: Any) -> Any:
            if tp.partition >= self.partitions:
                return refusal(KafkaError.UNKNOWN_TOPIC_OR_PART)
            is_low = spec._value == -2
            return self.offsets.get(tp.partition, SimpleNamespace(offset=self.low if is_low else END, leader_epoch=0))

        return {tp: answered(offset(tp, spec)) for tp, spec in asked.items()}

    def describe_topics(self, topics: Any, request_timeout: float) -> dict[str, "Future[Any]"]:
        said = self.described or SimpleNamespace(topic_id=self.topic_id, partitions=[None] * self.partitions)
        return {TOPIC: answered(said)}

    def delete_records(self, asked: list[Any]) -> dict[Any, "Future[Any]"]:
        self.asked += asked
        return {tp: answered(self.deleted or SimpleNamespace(low_watermark=tp.offset)) for tp in asked}


class Message:
    def __init__(self, place: tuple[str, int], offset: int, error: int | None = None) -> None:
        self._place, self._offset, self._error = place, offset, error

    def error(self) -> KafkaError | None:
        return None if self._error is None else KafkaError(self._error)

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1000

    def key(self) -> None: ...

    def value(self) -> bytes:
        return b"record"

    def headers(self) -> None: ...


class Reader:
    """A consumer to which these messages come, one a poll; `first` happens before the first of them."""

    def __init__(self, messages: list[Message], first: Any = None) -> None:
        self._messages = messages
        self._first = first
        self.assigned: list[Any] = []

    def list_topics(self, timeout: float) -> None: ...

    def assign(self, places: list[Any]) -> None:
        self.assigned.append({(tp.topic, tp.partition) for tp in places})

    def unassign(self) -> None: ...

    def pause(self, places: Any) -> None: ...

    def resume(self, places: Any) -> None: ...

    def consume(self, most: int, timeout: float) -> list[Message]:
        return [self._messages.pop(0)] if self._messages and timeout else []


def gauge(admin: Admin, *messages: Message) -> Gauge:
    client: Any = admin
    made = Gauge(client, "nowhere")
    reader: Any = Reader(list(messages))
    made._reader = reader
    return made


def place(number: int) -> tuple[str, int]:
    return TOPIC, number


def test_one_partition_without_a_leader_is_unknown_for_itself() -> None:
    admin = Admin(offsets={3: refusal(KafkaError.LEADER_NOT_AVAILABLE)})
    found = gauge(admin).look([place(n) for n in range(4)], {})
    assert isinstance(found[place(3)], Unanswered)
    assert [found[place(n)] for n in range(3)] == 3 * [Found("t", 0, END, 0, None, 4)]


def test_what_takes_too_long_is_unknown_for_itself() -> None:
    found = gauge(Admin(offsets={0: TimeoutError()})).look([place(0), place(1)], {})
    assert isinstance(found[place(0)], Unanswered) and isinstance(found[place(1)], Found)


def test_a_topic_that_is_gone_is_left_out() -> None:
    admin = Admin(partitions=0, described=refusal(KafkaError.UNKNOWN_TOPIC_OR_PART))
    assert gauge(admin).look([place(0)], {}) == {}


def test_a_partition_that_its_topic_has_not_says_how_many_that_has() -> None:
    assert gauge(Admin(partitions=1)).look([place(3)], {}) == {place(3): Found("t", 0, 0, partitions=1)}


@pytest.mark.parametrize("error", [TimeoutError(), refusal(KafkaError.TOPIC_AUTHORIZATION_FAILED)])
def test_whatever_kafka_has_against_a_deletion_is_unknown(error: BaseException) -> None:
    with pytest.raises(Unknown):
        gauge(Admin(deleted=error)).delete_before({place(0): 3}, {TOPIC: "t"})


def test_whoever_may_not_delete_is_told_which_right_that_needs() -> None:
    admin = Admin(deleted=refusal(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(Unknown, match="needs DELETE"):
        gauge(admin).delete_before({place(0): 3}, {TOPIC: "t"})


def test_nothing_is_deleted_of_a_topic_that_is_another_one_by_now() -> None:
    admin = Admin(topic_id="another")
    gauge(admin).delete_before({place(0): 3}, {TOPIC: "t"})
    assert admin.asked == []


def test_the_records_of_all_places_are_asked_for_at_once() -> None:
    made = gauge(Admin(), *(Message(place(n), 2) for n in (2, 0, 1)))
    found = made.look([place(n) for n in range(3)], {place(n): 2 for n in range(3)})
    assert [there.last and there.last.offset for there in found.values() if isinstance(there, Found)] == [2, 2, 2]
    reader: Any = made._reader
    assert reader.assigned == [{place(0), place(1), place(2)}]


@pytest.mark.parametrize("code", reading.NOT_IN_THE_LOG)
def test_a_place_that_changes_between_two_questions_is_looked_at_again(code: int) -> None:
    # given a record that is deleted after it was asked where the topic begins
    admin = Admin()
    made = gauge(admin, Message(place(0), 2, code))
    reader: Any = made._reader
    consume = reader.consume

    def then_it_begins_later(most: int, timeout: float) -> Any:
        admin.low = 3
        return consume(most, timeout)

    reader.consume = then_it_begins_later
    # then what there is is what there is then
    assert made.look([place(0)], {place(0): 2}) == {place(0): Found("t", 3, END, 0, None, 4)}


def test_a_place_that_never_stands_still_is_unknown_for_itself() -> None:
    out = [Message(place(0), 2, KafkaError.OFFSET_OUT_OF_RANGE) for _ in range(9)]
    assert isinstance(gauge(Admin(), *out).look([place(0)], {place(0): 2})[place(0)], Unanswered)


def test_where_only_marks_of_transactions_stand_there_is_another_than_was_decided() -> None:
    found = gauge(Admin(), Message(place(0), END, KafkaError._PARTITION_EOF)).look([place(0)], {place(0): 4})[place(0)]
    assert isinstance(found, Found) and found.last == Read(*place(0), END, 0, None, None, ())


def test_a_topic_that_ends_in_a_mark_of_a_transaction_is_read_to_its_end() -> None:
    messages = [Message(place(0), 0), Message(place(0), 1), Message(place(0), 3, KafkaError._PARTITION_EOF)]
    assert [r.offset for r in gauge(Admin(), *messages).records(place(0), 0, 3)] == [0, 1]


def test_what_is_read_ends_where_it_was_asked_to() -> None:
    messages = [Message(place(0), 0), Message(place(0), 3)]
    assert [r.offset for r in gauge(Admin(), *messages).records(place(0), 0, 2)] == [0]


def test_a_topic_that_falls_silent_is_unknown() -> None:
    with pytest.raises(Unknown, match="silent"):
        list(gauge(Admin(), Message(place(0), 0)).records(place(0), 0, 2))
