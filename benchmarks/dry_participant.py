"""A participant's own work without Kafka: what a step command costs in CPU, and in function calls.

The real loop, dispatcher, codec and durable ledger between an inlet and an outlet that cost nothing;
the messages are the client library's own. Broker and network are absent, as in `dry`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from argparse import Namespace
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from confluent_kafka import Message

from benchmarks import workload
from benchmarks.rounds import write_result
from benchmarks.trip import CancelFlight, ReserveFlight, on_cancel_flight, on_reserve_flight
from benchmarks.verdict import WrongEffects
from orchestrator import Payload, collector
from orchestrator.codec.envelope import Record
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.records import StepCommand
from orchestrator.codec.wire import RecordCodec
from orchestrator.kafka.base import GroupMetadata, Polled, Position, TopicPartition
from orchestrator.kafka.source import envelopes
from orchestrator.participant.appetite import Appetite
from orchestrator.participant.dispatch import Dispatcher
from orchestrator.participant.handler import bind
from orchestrator.participant.inbox import Inbox
from orchestrator.participant.ledger_rocks import RocksLedger
from orchestrator.participant.loop import Loop
from orchestrator.participant.run import Runner

BATCH_COUNT = 100
"""Commands a batch: about what each of three participants finds with 1,000 trips in flight."""
_REPLY_BYTES_MAX = 250_000
_COMMANDS, _REPLIES = "flight.commands", "dry.replies.flight"
_NOW_MS = 1_790_000_000_000


class _NoInlet:
    """A group member that is given its messages, and whose positions cost nothing."""

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.positions: dict[TopicPartition, int] = {}

    def poll_batch(self, count_max: int, _timeout_s: float) -> Polled:
        count = min(count_max, len(self.messages))
        return Polled(envelopes([self.messages.popleft() for _ in range(count)]), (), ())

    def store(self, positions: Sequence[Position]) -> None:
        for topic, partition, offset in positions:
            self.positions[TopicPartition(topic, partition)] = offset

    def group_metadata(self) -> GroupMetadata:
        return GroupMetadata(b"x", 1, "member")

    def committed(
        self, _partitions: Sequence[TopicPartition], _timeout_s: float
    ) -> Mapping[TopicPartition, int | None]:
        return {}

    def assign(self, _positions: Sequence[Position]) -> None: ...
    def seek(self, _position: Position) -> None: ...
    def pause(self, _partitions: Sequence[TopicPartition]) -> None: ...
    def resume(self, _partitions: Sequence[TopicPartition]) -> None: ...
    def close(self) -> None: ...


class _NoOutlet:
    """A producer that counts."""

    def __init__(self) -> None:
        self.sent_count = 0

    def send(self, records: Iterable[Record]) -> None:
        self.sent_count += len(list(records))


class DryParticipant:
    """The flights of the trips: a reservation each, and one in ten is taken back."""

    def __init__(self, folder: Path) -> None:
        """Assemble it as a participant's process is; its ledger lies in `folder`."""
        self._codec, self._payloads = RecordCodec(), AvroPayloads()
        self._inlet, self._outlet = _NoInlet(), _NoOutlet()
        self._ledger = RocksLedger(folder)
        runner = Runner(
            bind([on_reserve_flight, on_cancel_flight]), self._payloads, _REPLY_BYTES_MAX
        )
        inbox = Inbox(self._codec, _REPLIES, 4)
        self.loop = Loop(
            name="flight",
            inlet=self._inlet,
            outlet=self._outlet,
            dispatcher=Dispatcher(inbox, runner, self._ledger, lambda: _NOW_MS),
            codec=self._codec,
            letters_topic="flight.dead-letters",
            appetite=Appetite(BATCH_COUNT),
            handling_s_max=10.0,
            now_ms=lambda: _NOW_MS,
        )
        self._offset = self.calls_count = 0

    def close(self) -> None:
        """Release the ledger."""
        self._ledger.close()

    def begin(self, batch: str, count: int) -> int:
        """Put the commands of so many trips into the queue; give their number."""
        before_count = len(self._inlet.messages)
        for number in range(count):
            trip = workload.payload(batch, number)
            self._queue(trip.saga, "do", ReserveFlight(trip.saga, trip.traveller, trip.flight))
        for number in filter(workload.fails, range(count)):  # which are told so much later
            saga_id = workload.saga_id(batch, number)
            self._queue(saga_id, "undo", CancelFlight(saga_id))
        return len(self._inlet.messages) - before_count

    def run(self) -> int:
        """Work until nothing is left; give the CPU of it, in ns."""
        began_ns = time.thread_time_ns()
        while self._inlet.messages:
            self.loop.turn(lambda: False)
        spent_ns = time.thread_time_ns() - began_ns
        totals = self.loop.totals
        if totals.ran_count != self._outlet.sent_count or totals.retried_count:
            raise WrongEffects(f"{totals}; {self._outlet.sent_count} replies")
        return spent_ns

    def calls_per_command(self, batch: str, count: int) -> float:
        """Count the Python and C functions that a command costs, over `count` trips."""
        commands_count = self.begin(batch, count)
        self.calls_count = 0
        sys.setprofile(self._count_call)
        try:
            self.run()
        finally:
            sys.setprofile(None)
        return self.calls_count / commands_count

    def _queue(self, saga_id: str, direction: str, payload: Payload) -> None:
        effect = f"{saga_id}/flight/{direction}/1"
        command = StepCommand(
            effect,
            saga_id,
            "flight",
            direction,
            1,
            _NOW_MS + 60_000,
            type(payload).__name__,
            _REPLIES,
            self._offset % 4,
            self._payloads.encode(payload, type(payload)),
        )
        self._inlet.messages.append(
            Message(
                topic=_COMMANDS,
                partition=self._offset % 4,
                offset=self._offset,
                key=saga_id.encode(),
                value=self._codec.encode_step_command(command),
                headers=[("id", effect.encode())],
                timestamp=(1, _NOW_MS),
            )
        )
        self._offset += 1

    def _count_call(self, _frame: FrameType, event: str, _argument: Any) -> None:
        self.calls_count += event in {"call", "c_call"}


def measure(options: Namespace) -> int:
    """Measure rounds of trips; print the least, in us of CPU a command."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as folder:
        participant = DryParticipant(Path(folder) / "ledger")
        collector.spare()
        for number in range(options.rounds + 1):  # the first is for warming up
            commands_count = participant.begin(f"dry{number}", options.sagas)
            rows.append({"us_per_command": round(participant.run() / commands_count / 1e3, 2)})
        calls = round(participant.calls_per_command("counted", 500), 1)
        participant.close()
    least = min(row["us_per_command"] for row in rows[1:])
    print(f"us of CPU a command: {least:.1f}; calls: {calls}")
    path = write_result(
        options.name, vars(options), rows[1:], least_us_per_command=least, calls_per_command=calls
    )
    print(f"written to {path}")
    return 0
