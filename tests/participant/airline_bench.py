"""A small airline and a bench to run it on, without Kafka."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict

from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.codec.records import StepCommand
from orchestrator.codec.wire import RecordCodec
from orchestrator.definition.payload import Command, Done, Participant, Payload
from orchestrator.errors import MalformedPayload
from orchestrator.participant.dispatch import Dispatcher
from orchestrator.participant.handler import bind
from orchestrator.participant.inbox import Inbox
from orchestrator.participant.run import Runner

airline = Participant("airline")
REPLIES = "saga.replies.airline"
CODEC = RecordCodec()


class SeatReserved(Payload):
    seat: str


class SoldOut(Payload):
    flight: str


class ReserveSeat(Command[SeatReserved, SoldOut], to=airline):
    flight: str


class CancelSeat(Command[Done], to=airline):
    flight: str


class JsonPayloads:
    def encoder(self, _kind):
        return lambda value: json.dumps(asdict(value)).encode()

    def decoder(self, kind):
        def decode(value):
            try:
                return kind(**json.loads(value))
            except (ValueError, TypeError) as error:
                raise MalformedPayload("malformed", str(error)) from error

        return decode


class Bench:
    """Feeds commands to a dispatcher over a ledger that can be restarted."""

    def __init__(self, ledger, handlers, executor=None, payload_bytes_max=10_000):
        self.ledger = ledger
        self.handlers = handlers
        self.offsets = itertools.count()
        self.executor = executor
        self.payload_bytes_max = payload_bytes_max
        self.start()

    def start(self):
        inbox = Inbox(CODEC, REPLIES, 4)
        runner = Runner(bind(self.handlers), JsonPayloads(), self.payload_bytes_max)
        self.dispatcher = Dispatcher(inbox, runner, self.ledger, lambda: 1_000, self.executor)

    def record(self, kind, saga="s1", step="seat", direction="do", attempt=1, **changes):
        command = StepCommand(
            effect=f"{saga}/{step}/{direction}/{attempt}",
            saga=saga,
            step=step,
            direction=direction,
            attempt=attempt,
            due_ms=5_000,
            type=type(kind).__name__,
            reply_topic=REPLIES,
            reply_partition=1,
            payload=json.dumps(asdict(kind)).encode(),
        )._replace(**changes)
        return self.raw(CODEC.encode_step_command(command), key=saga.encode())

    def raw(self, value, key=b"s1", headers=()):
        origin = Origin("airline.commands", 0, next(self.offsets))
        return Envelope(origin, key, value, headers, 0)

    def process(self, *records, **options):
        return self.dispatcher.process(records, **options)

    def ask(self, *records):
        return [read_reply(record) for record in self.process(*records).replies]


def read_reply(record):
    return CODEC.decode_reply(record.value)
