"""Throws what is nearly right at whatever reads what others wrote: `python -m tests.fuzz --inputs 10000000`.

Each input is one that somebody could have meant, changed at random. Whoever reads it says what it is, or raises what is
foreseen; anything else is said with the seed it comes from, and so is what takes longer than one input may. What a process
needs in memory says whether one took too much. A seed is played again by `tests.fuzz.throw`.
"""

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from random import Random
from typing import Any

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from infra import Undeliverable, Unknown
from infra.edge.outside import Answer
from infra.errors import LogDamaged
from infra.kafka.unpacking import Batches
from infra.shop.mesh import mesh
from infra.testing.strangers import TABLE, Model, record_of
from infra.wire.envelope import ID, TYPE, EventEnvelope, Way, event_record, meta
from infra.wire.inbox import CommandReader, Posted
from infra.wire.record import Header, Read
from infra.write.decision import ways
from infra.write.reactions import outgoing_command
from streams.notifications.effects.subscription import subscription_of
from streams.payments.decider import Capture
from streams.payments.effects import sandbox
from tests.orders.examples import place, placed

MOST_S, MOST_BYTES = 0.05, 50 << 20
PORTION = 20_000  # inputs of one seed
TRIES = 3
SHOWN = 10
CODEC = mesh.codec
ORDERS = mesh.context("orders")
READER = CommandReader("orders", ways(ORDERS), 4, CODEC)
COMMAND = outgoing_command(CODEC, place, "model")
NAME = b"orders.PlaceOrder"
MODEL = Model(COMMAND.key, COMMAND.value or b"", NAME)
ENVELOPE = EventEnvelope("orders", "orders.events", 0, CODEC.types)
PART = ENVELOPE.command_part(b"order-1", b"a", b"a", Way.COMMANDS, 7, NAME)
JSON = b'{"customer_id":"ada","card":"card_ok","currency":"EUR","lines":[{"sku":"tea","quantity":1,"unit_price_minor":690}]}'
CLOUD_EVENT = b'{"specversion":"1.0","type":"orders.PlaceOrder","id":"ce-1","subject":"order-1","data":' + JSON + b"}"
SUBSCRIPTION = (
    '{"endpoint":"https://push.example.org/send/1","keys":{"p256dh":"BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u'
    '-Ts1XbjhazAkj7I99e8QcYP7DkM","auth":"tBHItJI5svbpez7KI4CCXg"}}'
)
ANSWER = b'{"outcome":"ok","authorisation":"auth-1","reason":""}'
ODD = (
    b"",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\\u0000",
    b"\\ud800",
    b"[" * 99,
    b"{",
    b"1e999",
    b"-1",
    b"9" * 40,
    b"null",
    b"\n",
)


def changed(value: bytes, dice: Random) -> bytes:
    """The same with some bytes changed, cut, said twice, or replaced by what is often wrong."""
    data = bytearray(value)
    for _ in range(dice.randint(0, 4)):
        at, end = sorted((dice.randint(0, len(data)), dice.randint(0, len(data))))
        match dice.randrange(6):
            case 0 if data:
                data[at % len(data)] = dice.randrange(256)
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end]
            case 3:
                data[at:at] = dice.choice(ODD)
            case 4:
                data[at:end] = dice.choice(ODD)
            case _:
                data[at:at] = dice.randbytes(dice.randint(0, 12))
    return bytes(data)


def _headers(headers: Sequence[Header], dice: Random) -> list[Header]:
    found = [(name, value if value is None else changed(value, dice)) for name, value in headers]
    if found and dice.random() < 0.2:
        found.pop(dice.randrange(len(found)))
    if found and dice.random() < 0.2:
        found.append((dice.choice(found)[0], dice.choice(ODD)))
    if dice.random() < 0.1:
        dice.shuffle(found)
    return found


# -- who reads what; each raises what is foreseen, or nothing


def a_command(dice: Random) -> Posted:
    """Framed, plain, JSON or a CloudEvent, or one of the table's, by either way."""
    match dice.randrange(5):
        case 0:
            asked = record_of(dice.choice(SMALL), MODEL, "hostile")
            key, value, headers = asked.key, asked.value, list(asked.headers)
        case 1:
            key, value, headers = b"order-1", JSON, [(ID, b"j"), (TYPE, NAME)]
        case 2:
            kind = b"application/cloudevents+json"
            key, value, headers = b"order-1", CLOUD_EVENT, [("content-type", kind)]
        case 3:
            key, value, headers = b"order-1", MODEL.value[5:], [(ID, b"p"), (TYPE, NAME)]
        case _:
            key, value, headers = COMMAND.key, COMMAND.value, list(COMMAND.headers)
    way = dice.choice(list(Way))
    topic = ORDERS.own_topic if way is Way.OWN else ORDERS.commands_topic
    record = Read(
        topic,
        dice.randrange(4),
        7,
        1_700_000_000_000,
        key and changed(key, dice) if dice.random() < 0.3 else key,
        value and changed(value, dice),
        _headers(headers, dice),
    )
    (posted,) = READER.read([record], way)
    return posted


def a_batch(dice: Random) -> None:
    builder = DefaultRecordBatchBuilder(
        2, dice.choice((0, 1, 3, 4)), 0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=1 << 16
    )
    for number in range(dice.randint(1, 3)):
        builder.append(number, timestamp=0, key=b"k", value=JSON, headers=[("ce_id", b"a")])
    batches = Batches(changed(bytes(builder.build()), dice))
    try:
        while batches.has_next():
            for record in batches.next_batch().records():
                dict(record.headers)
    except CorruptRecordException:
        pass


def an_event(dice: Random) -> None:
    headers = _headers(ENVELOPE.headers(PART, b"orders.OrderPlaced", 9), dice)
    record = Read("orders.events", 0, 9, 1_700_000_000_000, b"order-1", b"", tuple(headers))
    try:
        event_record(record)
        meta(record, dict(headers))
    except (LogDamaged, ValueError, KeyError):
        pass


def a_value(dice: Random) -> None:
    try:
        CODEC.decode(changed(CODEC.encode(placed), dice))
    except (ValueError, KeyError, TypeError, AttributeError, LogDamaged, EOFError, IndexError):
        pass


def an_address(dice: Random) -> None:
    try:
        subscription_of(changed(SUBSCRIPTION.encode(), dice).decode(errors="replace"), "http://127.0.0.1:1")
    except Undeliverable:
        pass


def an_answer(dice: Random) -> None:
    try:
        sandbox._outcome(
            Capture("order-1", "auth-1"), Answer(dice.choice((200, 201, 400, 404, 500)), changed(ANSWER, dice))
        )
    except Unknown:
        pass


SMALL = [name for name in TABLE if len(record_of(name, MODEL, "x").value or b"") < 10_000]
READERS: tuple[Callable[[Random], Any], ...] = (a_command, a_batch, an_event, a_value, an_address, an_answer)


@dataclass
class Found:
    """What was wrong with inputs of one seed."""

    inputs: int
    wrong: list[str]
    peak: int


def throw(seed: int, inputs: int = PORTION) -> Found:
    """So many inputs, all made from one seed."""
    dice, wrong = Random(seed), list[str]()
    for number in range(inputs):
        reader, state = READERS[number % len(READERS)], dice.getstate()
        took = 0.0
        for _ in range(TRIES):  # something else may have taken the time
            dice.setstate(state)
            begun = time.process_time()
            try:
                reader(dice)
            except Exception as error:
                wrong.append(f"seed {seed} input {number}, {reader.__name__}: {error!r}")
            if (took := time.process_time() - begun) <= MOST_S:
                break
        else:
            wrong.append(f"seed {seed} input {number}, {reader.__name__}: it took {1000 * took:.0f} ms")
    return Found(inputs, wrong, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    asked = parser.parse_args()
    begun, done, wrong = time.monotonic(), 0, 0
    warm = throw(asked.first, len(READERS) * 10).peak
    with ProcessPoolExecutor(mp_context=get_context("forkserver")) as pool:
        seeds = range(asked.first, asked.first + -(-asked.inputs // PORTION))
        peak = 0
        for found in pool.map(throw, seeds):
            done, peak = done + found.inputs, max(peak, found.peak)
            for line in found.wrong[: max(0, SHOWN - wrong)]:
                print(line, flush=True)
            wrong += len(found.wrong)
            if done % (50 * PORTION) == 0:
                print(f"{done:,} inputs in {time.monotonic() - begun:.0f} s, {wrong} wrong", flush=True)
    is_much = peak - warm > MOST_BYTES
    print(
        f"{done:,} inputs in {time.monotonic() - begun:.0f} s, {wrong} wrong; at most {(peak - warm) >> 20} MB more than at the "
        f"beginning{', which is too much' if is_much else ''}"
    )
    return 1 if wrong or is_much else 0


if __name__ == "__main__":
    raise SystemExit(main())
